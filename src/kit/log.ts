import { isWorkerThread } from './thread.ts'

/** What operations say while they work. Where it goes and how it looks is decided by `cli/`. */
export type LogLevel = 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR'

export interface Logger {
  debug(message: string): void
  info(message: string): void
  warning(message: string): void
  error(message: string): void
}

/** Silent: for library use and for tests that do not look at messages. */
export const silentLogger: Logger = { debug() {}, info() {}, warning() {}, error() {} }

/** Builds a Logger from one function; the only place that knows the four names. */
export function createLogger(write: (level: LogLevel, message: string) => void): Logger {
  return {
    debug: message => write('DEBUG', message),
    info: message => write('INFO', message),
    warning: message => write('WARNING', message),
    error: message => write('ERROR', message),
  }
}

export type NoticeLevel = Extract<LogLevel, 'DEBUG' | 'WARNING'>
type NoticeListener = (text: string, level: NoticeLevel) => void

let noticeListener: NoticeListener = (text, level) => {
  if (isWorkerThread()) broadcastNotice(text, level)
}
let channel: BroadcastChannel | undefined

/**
 * Where the notices of this thread go, and those that its workers broadcast. Without a listener those of a worker are
 * broadcast, those of the main thread are not heard.
 */
export function onNotice(listener: NoticeListener): void {
  noticeListener = listener
  if (isWorkerThread()) return
  channel ??= openChannel()
  channel.onmessage = ({ data }) => listener(data.text, data.level)
}

/** Sends a notice to the thread that listens for those of its workers. */
export function broadcastNotice(text: string, level: NoticeLevel): void {
  channel ??= openChannel()
  channel.postMessage({ text, level })
}

/**
 * A sentence for the person who waits, said deep inside where no logger is: that the storage does not answer, what is
 * being tried, how long yet. Never a secret.
 */
export function notice(text: string, level: NoticeLevel = 'WARNING'): void {
  noticeListener(text, level)
}

/** It alone keeps no thread alive. */
function openChannel(): BroadcastChannel {
  const opened = new BroadcastChannel('wal-g-notices')
  ;(opened as { unref?: () => void }).unref?.()
  return opened
}
