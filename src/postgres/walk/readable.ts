import { type BigIntStats, closeSync, openSync } from 'node:fs'
import { errnoOf, fromSystemError, WalgError } from '../../kit/errors.ts'
import { READ_NOW } from '../../kit/file-system.ts'

const NAMED_MAX = 10
const OWNER_READ = 0o400n

/** Whether this process, running as `user`, may read a file; tries it only when owner and mode do not settle it. */
export function isReadable(path: string, stats: BigIntStats, user: number | undefined): boolean {
  if (user === 0) return true
  if (user !== undefined && stats.uid === BigInt(user) && (stats.mode & OWNER_READ) !== 0n) return true
  try {
    closeSync(openSync(path, READ_NOW))
    return true
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EACCES' || errno === 'EPERM') return false
    // what vanished meanwhile shows up as vanished when it is read
    if (errno === 'ENOENT') return true
    throw fromSystemError(error, 'open', path)
  }
}

/** What stands against a backup, gathered so that a person sees all of it at once. */
export class Refusals {
  readonly #unreadable: string[] = []
  readonly #badNames: string[] = []
  #unreadableCount = 0
  #badNameCount = 0

  addUnreadable(path: string): void {
    if (this.#unreadableCount++ < NAMED_MAX) this.#unreadable.push(path)
  }

  /** `name` is not UTF-8. */
  addBadName(directory: string, name: Uint8Array): void {
    if (this.#badNameCount++ < NAMED_MAX) this.#badNames.push(`"${directory}": ${escapeBytes(name)}`)
  }

  /** Throws FILE_ACCESS or FORMAT_INVALID when there are any. */
  assertNone(root: string): void {
    if (this.#unreadableCount > 0) {
      throw new WalgError(
        'FILE_ACCESS',
        `unable to read ${quoteAll(this.#unreadable, this.#unreadableCount)}: permission denied`,
        {
          facts: { path: this.#unreadable[0]!, count: this.#unreadableCount },
          hint: 'nothing was sent; run as the owner of the data directory, or correct owner and mode of these',
        },
      )
    }
    if (this.#badNameCount > 0) {
      throw new WalgError(
        'FORMAT_INVALID',
        `names that are not UTF-8 cannot be stored, in ${this.#badNames.join(', in ')}`,
        {
          facts: { path: root, count: this.#badNameCount },
          hint: 'nothing was sent; rename or move these files away (the bytes are shown as \\x..)',
        },
      )
    }
  }
}

function quoteAll(paths: readonly string[], count: number): string {
  const more = count > paths.length ? ` and ${count - paths.length} more` : ''
  return paths.map(path => `"${path}"`).join(', ') + more
}

function escapeBytes(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}
