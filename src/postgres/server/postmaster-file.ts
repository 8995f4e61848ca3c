import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'

/** What `postmaster.pid` says (the lines are PostgreSQL's own). */
export interface PostmasterFile {
  readonly pid: number
  readonly port: number | undefined
  /** The first directory of Unix sockets; '' when there is none. */
  readonly socketDirectory: string
  /** The first address; '' when it listens on none. */
  readonly listenAddress: string
  /** `starting`, `stopping`, `ready` (takes queries) or `standby` (recovers, takes none). */
  readonly status: string
}

/** Reads it; undefined when there is none, or it was just being written. */
export function readPostmasterFile(dataDirectory: string): PostmasterFile | undefined {
  const file = path.join(dataDirectory, 'postmaster.pid')
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined
    throw fromSystemError(error, 'read', file)
  }
  const lines = text.split('\n').map(line => line.trim())
  const pid = Math.abs(Number(lines[0]))
  if (!Number.isInteger(pid) || pid === 0) return undefined
  const port = Number(lines[3])
  return {
    pid,
    port: Number.isInteger(port) && port > 0 ? port : undefined,
    socketDirectory: lines[4] ?? '',
    listenAddress: lines[5] ?? '',
    status: lines[7] ?? '',
  }
}

/**
 * The process of the server that runs in a data directory, as far as this host can tell; undefined when none does. A
 * living process with that number counts unless the system shows that it works in another directory.
 */
export function runningServer(dataDirectory: string): number | undefined {
  const file = readPostmasterFile(dataDirectory)
  if (file === undefined || !isAlive(file.pid)) return undefined
  const workingDirectory = attempt(() => fs.readlinkSync(`/proc/${file.pid}/cwd`))
  const root = attempt(() => fs.realpathSync(dataDirectory))
  return workingDirectory === undefined || workingDirectory === root ? file.pid : undefined
}

/** False for a zombie too. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') return false
  }
  const state = attempt(() => fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))
  return state === undefined || !/\) [ZX] /.test(state)
}

/** What cannot be looked at is not known. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
