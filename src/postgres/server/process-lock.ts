import { connect, createServer, type Server } from 'node:net'
import { hostname } from 'node:os'
import { errnoOf } from '../../kit/errors.ts'

/** Who has a lock, as it says itself. */
export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** RFC 3339. */
  readonly since: string
}

/** How long a holder that is busy is waited for before it stays unnamed. */
const ANSWER_MS_MAX = 1000
const ANSWER_BYTES_MAX = 1024

/**
 * Takes a lock that one process of this host can have at a time: an abstract socket, which the system forgets with the process,
 * however it ends. Undefined when it is taken. Throws the system's own errors.
 *
 * `name`: ASCII, at most 100 bytes. The lock does not keep the process alive.
 */
export async function takeProcessLock(name: string): Promise<AsyncDisposable | undefined> {
  const since = new Date().toISOString()
  const server = createServer(asker => {
    asker.on('error', () => {}) // whoever asked has gone
    const self: LockHolder = { pid: process.pid, host: hostname(), since }
    asker.end(JSON.stringify(self))
  })
  if (!(await listen(server, addressOf(name)))) return undefined
  server.unref()
  return {
    [Symbol.asyncDispose]: () => new Promise<void>(resolve => void server.close(() => resolve())),
  }
}

/** Asks the holder of a lock who it is; undefined when it does not answer, or has just gone. */
export async function askLockHolder(name: string): Promise<LockHolder | undefined> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let answer = ''
  const socket = connect({ path: addressOf(name) })
  const timer = setTimeout(resolve, ANSWER_MS_MAX)
  socket.setEncoding('utf8')
  socket.on('data', piece => {
    answer += String(piece)
    if (answer.length > ANSWER_BYTES_MAX) resolve()
  })
  socket.on('error', () => resolve())
  socket.on('close', () => resolve())
  await promise
  clearTimeout(timer)
  socket.destroy()
  return parseHolder(answer)
}

/** Whether a process has the lock. It need not answer: the system knows. */
export function isProcessLockTaken(name: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path: addressOf(name) })
    const settle = (isTaken: boolean): void => {
      socket.destroy()
      resolve(isTaken)
    }
    socket.once('connect', () => settle(true))
    // refused: nobody listens; anything else (too many who ask) comes from somebody who does
    socket.once('error', error => settle(errnoOf(error) !== 'ECONNREFUSED' && errnoOf(error) !== 'ENOENT'))
  })
}

function addressOf(name: string): string {
  return `\0wal-g ${name}`
}

/** false: the name is taken. */
function listen(server: Server, address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', error => {
      if (errnoOf(error) === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    server.listen(address, () => resolve(true))
  })
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    const { pid, host, since } = JSON.parse(text) as Partial<LockHolder>
    const isWhole = typeof pid === 'number' && typeof host === 'string' && typeof since === 'string'
    return isWhole ? { pid, host, since } : undefined
  } catch {
    return undefined // cut off, or another program's
  }
}
