import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { systemClock } from '../../kit/clock.ts'
import { fromSystemError, WalgError } from '../../kit/errors.ts'
import { type PostmasterFile, readPostmasterFile } from './postmaster-file.ts'
import type { ServerPrograms } from './programs.ts'

export interface ServerStart {
  readonly programs: ServerPrograms
  readonly dataDirectory: string
  /** Given on the command line: they win over every file. */
  readonly settings: Readonly<Record<string, string>>
  /** What it says before, and unless, it logs elsewhere is appended here. */
  readonly logFile: string
}

/** How long a stop may take before the next, harder one. */
const STOP_MS_MAX = 60_000
const LOG_TAIL_BYTES = 64 << 10

/** A PostgreSQL server that this process has started; it goes on when this process ends. */
export class ServerProcess {
  readonly dataDirectory: string
  readonly logFile: string
  readonly #child: ChildProcess
  readonly #logBeginBytes: number
  #ending: string | undefined

  private constructor(start: ServerStart, child: ChildProcess, logBeginBytes: number) {
    this.dataDirectory = start.dataDirectory
    this.logFile = start.logFile
    this.#child = child
    this.#logBeginBytes = logBeginBytes
    child.once('error', error => {
      this.#ending = `it could not be started: ${error.message}`
    })
    child.once('exit', (code, signal) => {
      this.#ending = signal === null ? `it ended with status ${code}` : `it was ended by ${signal}`
    })
  }

  /** Starts `postgres` in a session of its own, without waiting for anything. Throws FILE_ACCESS, CLUSTER_STATE as root. */
  static start(start: ServerStart): ServerProcess {
    if (process.getuid?.() === 0) throw notAsRoot()
    const { programs, dataDirectory, settings, logFile } = start
    let log: number
    let logBeginBytes: number
    try {
      log = fs.openSync(logFile, 'a', 0o600)
      logBeginBytes = fs.fstatSync(log).size
    } catch (error) {
      throw fromSystemError(error, 'write', logFile)
    }
    try {
      const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
      const child = spawn(programs.postgres, ['-D', dataDirectory, ...options], {
        cwd: dataDirectory,
        detached: true,
        stdio: ['ignore', log, log],
      })
      child.unref()
      return new ServerProcess(start, child, logBeginBytes)
    } finally {
      fs.closeSync(log)
    }
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** How it ended, in words; undefined while it runs. */
  get ending(): string | undefined {
    return this.#ending
  }

  /** Its own `postmaster.pid`; undefined until it has written it. */
  postmaster(): PostmasterFile | undefined {
    const file = readPostmasterFile(this.dataDirectory)
    return file?.pid === this.#child.pid ? file : undefined
  }

  /** The end of what it has written into its log file since it was started. */
  logTail(): string {
    let fd: number
    try {
      fd = fs.openSync(this.logFile, 'r')
    } catch {
      return '' // it was moved away: there is nothing to quote
    }
    try {
      const { size } = fs.fstatSync(fd)
      const from = Math.max(this.#logBeginBytes, size - LOG_TAIL_BYTES)
      const bytes = new Uint8Array(Math.max(0, size - from))
      const count = fs.readSync(fd, bytes, 0, bytes.length, from)
      return new TextDecoder().decode(bytes.subarray(0, count))
    } finally {
      fs.closeSync(fd)
    }
  }

  /** The last line of the log that says why, without its prefix; with what its restore_command said where that is the reason. */
  lastComplaint(): string | undefined {
    const lines = this.logTail().split('\n')
    const at = lines.findLastIndex(line => /\b(FATAL|PANIC): /.test(line))
    const complaint = lines[at]?.replace(/^.*?\b((?:FATAL|PANIC): )\s*/, '$1')
    if (complaint === undefined || !complaint.includes('could not restore file')) return complaint
    const said = lines.slice(0, at).findLast(line => OWN_ERROR.test(line))
    return said === undefined ? complaint : `${complaint}: ${said.replace(OWN_ERROR, '')}`
  }

  /** Ends it: fast, after a while immediately, at last by force. */
  async stop(): Promise<void> {
    for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
      if (this.#ending !== undefined) return
      this.#child.kill(signal)
      await this.#untilEnded(STOP_MS_MAX)
    }
  }

  async #untilEnded(timeoutMs: number): Promise<void> {
    const deadline = systemClock.nowMs() + timeoutMs
    while (this.#ending === undefined && systemClock.nowMs() < deadline) await systemClock.sleep(20)
  }
}

/** The line that wal-fetch, the restore_command, leaves in the log of the server. */
const OWN_ERROR = /^ERROR: \d{4}\/\d\d\/\d\d [\d:.]+ /

/** PostgreSQL's own rule. */
export function notAsRoot(): WalgError {
  return new WalgError('CLUSTER_STATE', 'PostgreSQL does not run as root', {
    hint: 'run this command as the user of the server, or name it: --user postgres',
  })
}
