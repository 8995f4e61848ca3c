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

  /** Throws FILE_ACCESS or FORMAT_INVALID when there are any, with all of them. */
  assertNone(root: string): void {
    const found = [...this.#aboutUnreadable(), ...this.#aboutBadNames()]
    if (found.length === 0) return
    throw new WalgError(
      this.#unreadableCount > 0 ? 'FILE_ACCESS' : 'FORMAT_INVALID',
      found.map(({ message }) => message).join('; '),
      {
        facts: {
          path: this.#unreadable[0] ?? root,
          count: this.#unreadableCount + this.#badNameCount,
        },
        hint: `nothing was sent; ${found.map(({ hint }) => hint).join('; ')}`,
      },
    )
  }

  *#aboutUnreadable(): Generator<Refusal> {
    if (this.#unreadableCount === 0) return
    yield {
      message: `unable to read ${quoteAll(this.#unreadable, this.#unreadableCount)}: permission denied`,
      hint: 'run as the owner of the data directory, or correct owner and mode of these',
    }
  }

  *#aboutBadNames(): Generator<Refusal> {
    if (this.#badNameCount === 0) return
    const more =
      this.#badNameCount > this.#badNames.length ? ` and ${this.#badNameCount - NAMED_MAX} more` : ''
    yield {
      message: `names that are not UTF-8 cannot be stored, in ${this.#badNames.join(', in ')}${more}`,
      hint: 'rename or move these files away (the bytes are shown as \\x..)',
    }
  }
}

interface Refusal {
  readonly message: string
  /** What a person can do about it. */
  readonly hint: string
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
