import fs from 'node:fs'
import path from 'node:path'
import { syncDirectory, writeFileDurably } from '../../../kit/atomic-file.ts'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import type { PartResult } from '../part/part-protocol.ts'
import type { PlannedPart } from '../plan/fetch-plan.ts'
import type { RowNames } from '../plan/member-table.ts'
import { formatRecord } from './part-record.ts'

/** In the restored directory while it is incomplete; PostgreSQL does not start without the pg_control kept in it. */
export const STATE_FOLDER = 'wal-g_fetch_state'
/** Where pg_control waits until everything else is verified. */
export function pendingControlFile(root: string): string {
  return path.join(root, STATE_FOLDER, 'pg_control')
}

const HEADER_NAME = 'fetch.json'
const VERSION = 2

/** What must be the same for an interrupted fetch to be continued. */
export interface FetchIdentity {
  readonly backup: string
  /** Newest first. */
  readonly chain: readonly string[]
  /** Start of the backup that was asked for, as text: a backup of the same name could be another one. */
  readonly startTime: string
  readonly mask: string
  readonly restoreOnly: readonly string[]
  readonly tablespaces: readonly (readonly [string, string])[]
  readonly checksums: string
  /** Restored over a directory that was there: only such a fetch may go on with it. */
  readonly isIntoExisting?: true
}

interface StateHeader {
  readonly version: number
  readonly identity: FetchIdentity
  readonly isDurable: boolean
  readonly bootId: string
}

/** The record, inside the restored directory, of the parts that are complete: what `--resume` goes by. */
export class FetchState {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /**
   * Begins anew, or goes on where `isResume` and an earlier fetch of the same backup was interrupted. Throws
   * TARGET_MISMATCH when what lies there is another fetch.
   */
  static async open(
    root: string,
    identity: FetchIdentity,
    options: { readonly isResume: boolean; readonly isDurable: boolean },
  ): Promise<FetchState> {
    const state = new FetchState(path.join(root, STATE_FOLDER))
    const header: StateHeader = {
      version: VERSION,
      identity,
      isDurable: options.isDurable,
      bootId: bootId(),
    }
    if (options.isResume) {
      const found = state.#readHeader()
      if (found !== undefined) {
        const isSame = state.#checkIdentity(found, identity, root)
        if (!isSame || !mayTrust(found, header)) state.discard(Number.POSITIVE_INFINITY)
      }
    }
    makeFolder(state.folder)
    await writeFileDurably(path.join(state.folder, HEADER_NAME), JSON.stringify(header))
    await syncDirectory(root)
    return state
  }

  /** `generation` counts the backups of the chain from the full one, which is 0. */
  recordPath(generation: number, part: string): string {
    return path.join(this.folder, `${generation}.${part.replaceAll('/', '_')}.jsonl`)
  }

  /** Notes durably that a part is complete. */
  async record(generation: number, part: PlannedPart, result: PartResult, names: RowNames): Promise<void> {
    await writeFileDurably(this.recordPath(generation, part.part), formatRecord(part, result, names))
  }

  /** Forgets the parts of all backups of the chain that are older than this one. */
  discard(generation: number): void {
    for (const name of fs.readdirSync(this.folder)) {
      const match = /^(\d+)\..*\.jsonl$/.exec(name)
      if (match !== null && Number(match[1]) < generation) this.#remove(name)
    }
  }

  /** Takes the whole record away: the restore is complete. */
  async remove(): Promise<void> {
    try {
      fs.rmSync(this.folder, { recursive: true, force: true })
    } catch (error) {
      throw fromSystemError(error, 'remove', this.folder)
    }
    await syncDirectory(path.dirname(this.folder))
  }

  #remove(name: string): void {
    const file = path.join(this.folder, name)
    try {
      fs.unlinkSync(file)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fromSystemError(error, 'remove', file)
    }
  }

  #readHeader(): StateHeader | undefined {
    const file = path.join(this.folder, HEADER_NAME)
    let text: string
    try {
      text = fs.readFileSync(file, 'utf8')
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw fromSystemError(error, 'read', file)
    }
    try {
      return JSON.parse(text) as StateHeader
    } catch (error) {
      throw new WalgError('TARGET_MISMATCH', `"${file}" is damaged: the fetch cannot be continued`, {
        cause: error,
        hint: 'empty the directory and start again',
      })
    }
  }

  /** False: a fetch of the same backup into an empty directory, which one that looks at every file may go over. */
  #checkIdentity(found: StateHeader, identity: FetchIdentity, root: string): boolean {
    if (found.version === VERSION && JSON.stringify(found.identity) === JSON.stringify(identity)) return true
    const { isIntoExisting, ...others } = identity
    if (isIntoExisting && JSON.stringify(found.identity) === JSON.stringify(others)) return false
    const what = found.identity?.backup ?? 'an unknown backup'
    throw new WalgError('TARGET_MISMATCH', `in "${root}" a different fetch was interrupted: of "${what}"`, {
      facts: { path: root },
      hint: 'repeat it with the same backup, mask, tables, tablespaces and settings, or empty the directory',
    })
  }
}

/** What was not flushed is gone after a crash of the machine. */
function mayTrust(found: StateHeader, now: StateHeader): boolean {
  return found.isDurable || (!now.isDurable && found.bootId !== '' && found.bootId === now.bootId)
}

function bootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // not on Linux: then nothing that was not flushed is trusted
    return ''
  }
}

function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw fromSystemError(error, 'create', folder)
  }
}
