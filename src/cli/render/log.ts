import { openSync, writeSync } from 'node:fs'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import { createLogger, type Logger, type LogLevel } from '../../kit/log.ts'
import { localOffsetSeconds } from './local-offset.ts'

export interface LogOptions {
  readonly level: 'NORMAL' | 'DEVEL' | 'ERROR'
  /** `stderr` or a path. */
  readonly destination: string
  readonly format: 'text' | 'json'
  readonly redact: (text: string) => string
}

/** Facts of an error, for machines; only JSON lines have them. */
export type LogFields = Readonly<Record<string, unknown>>

export interface LogSink {
  readonly log: Logger
  readonly options: LogOptions
  write(level: LogLevel, message: string, fields?: LogFields): void
  /** Called before every line that goes to stderr, so that a progress bar can step aside. */
  onLine: { before: () => void }
}

/** What holds until the settings are known. */
export const FIRST_LOG_OPTIONS: LogOptions = {
  level: 'NORMAL',
  destination: 'stderr',
  format: 'text',
  redact: text => text,
}

const STDERR = 2

/** Opens the destination; throws FILE_ACCESS and its kin when it is a file that cannot be opened. */
export function openLog(options: LogOptions): LogSink {
  const fd = options.destination === 'stderr' ? STDERR : openLogFile(options.destination)
  const isShown = (level: LogLevel): boolean =>
    level === 'ERROR' || (options.level !== 'ERROR' && (level !== 'DEBUG' || options.level === 'DEVEL'))
  const sink: LogSink = {
    options,
    onLine: { before() {} },
    write(level, message, fields) {
      if (!isShown(level)) return
      const text = options.redact(message)
      const line =
        options.format === 'json'
          ? options.redact(formatJsonLine(level, text, fields))
          : `${level}: ${formatLogTime(clock())} ${text}\n`
      if (fd === STDERR) sink.onLine.before()
      writeFully(fd, line)
    },
    log: createLogger((level, message) => sink.write(level, message)),
  }
  return sink
}

/** `YYYY/MM/DD HH:MM:SS.ffffff` in local time (TZ). `atMs` has microseconds behind the point. */
export function formatLogTime(atMs: number): string {
  const offsetMs = 1000 * localOffsetSeconds(Math.floor(atMs / 1000), process.env['TZ'])
  const [day, time] = new Date(Math.floor(atMs) + offsetMs).toISOString().slice(0, 19).split('T')
  return `${day!.replaceAll('-', '/')} ${time}.${microseconds(atMs)}`
}

/** Milliseconds since 1970 with microseconds; never leaves the system clock by more than a process's drift. */
function clock(): number {
  return performance.timeOrigin + performance.now()
}

function microseconds(atMs: number): string {
  return String(Math.floor((atMs * 1000) % 1_000_000)).padStart(6, '0')
}

function formatJsonLine(level: LogLevel, message: string, fields: LogFields | undefined): string {
  const now = clock()
  const time = `${new Date(Math.floor(now)).toISOString().slice(0, 19)}.${microseconds(now)}Z`
  const exact = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)
  return `${JSON.stringify({ time, level, message, ...fields }, exact)}\n`
}

function openLogFile(path: string): number {
  try {
    return openSync(path, 'a', 0o644)
  } catch (error) {
    throw fromSystemError(error, 'open log file', path)
  }
}

/** A full pipe is waited for, but not for ever; a log that cannot be written never fails the work. */
export function writeFully(fd: number, text: string): void {
  let rest: Uint8Array = Buffer.from(text)
  for (let waits = 0; rest.length > 0 && waits < 5000; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') return
      waits += 1
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}
