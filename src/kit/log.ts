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
