import path from 'node:path'
import { WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import type { ControlFile } from '../../postgres/control-file.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { type TimelineSpan, timelinesOfSegment } from '../../postgres/timeline-path.ts'
import { formatSegmentName, segmentOfLsn } from '../../postgres/wal-segment.ts'

/** One of the two clusters that have parted. */
export interface Side {
  readonly walDirectory: string
  readonly control: ControlFile
  readonly spans: readonly TimelineSpan[]
  /** The segments in `walDirectory`, with what was fetched since. */
  readonly local: Set<string>
}

/** Brings one archived file to a path, whole and checked: `wal-fetch`, handed in by `cli/`. */
export type FetchWal = (name: string, destination: string) => Promise<void>

/** A segment that is not where pg_rewind, or the server after it, will look for it. */
export interface MissingSegment {
  readonly side: Side
  /** Names it can have, the newest timeline first. */
  readonly names: readonly string[]
}

export interface WalRestoreResult {
  readonly restored: readonly string[]
}

export function segmentOf({ control }: Side, lsn: Lsn): bigint {
  return segmentOfLsn(control.timeline, lsn, control.walSegmentBytes).number
}

/** The names that a segment of this cluster can have, the newest timeline first. */
export function namesOfSegment({ spans, control }: Side, number: bigint): readonly string[] {
  return timelinesOfSegment(spans, number, control.walSegmentBytes).map(timeline =>
    formatSegmentName({ timeline, number }, control.walSegmentBytes),
  )
}

/** What is not there from `first` to `last`, the newest first. */
export function missingSegments(side: Side, first: bigint, last: bigint): MissingSegment[] {
  const missing: MissingSegment[] = []
  for (let number = last; number >= first; number -= 1n) {
    const names = namesOfSegment(side, number)
    if (!names.some(name => side.local.has(name))) missing.push({ side, names })
  }
  return missing
}

/** Fetches one segment after the other, past those that fail. */
export class MissingWalFetcher {
  readonly failures: WalgError[] = []
  readonly #restored: string[] = []
  readonly #log: Logger
  readonly #fetchWal: FetchWal

  constructor(log: Logger, fetchWal: FetchWal) {
    this.#log = log
    this.#fetchWal = fetchWal
  }

  async fetchAll(missing: readonly MissingSegment[]): Promise<void> {
    if (missing.length === 0) return
    this.#log.info(`WAL files to restore: [${missing.map(({ names }) => names[0]).join(' ')}]`)
    for (const segment of missing) {
      try {
        const name = await this.#fetchOne(segment)
        segment.side.local.add(name)
        this.#restored.push(name)
        this.#log.info(`Successfully download WAL file ${name}`)
      } catch (error) {
        if (!(error instanceof WalgError) || error.code === 'CANCELLED') throw error
        this.#log.error(`Failed to download WAL file ${segment.names[0]}: ${error.message}`)
        this.failures.push(error)
      }
    }
  }

  /** Throws WAL_NOT_FOUND when something could not be fetched. */
  result(): WalRestoreResult {
    const { failures } = this
    const count = failures.length + this.#restored.length
    if (count === 0) this.#log.info('No WAL files to restore')
    if (failures.length === 0) return { restored: this.#restored }
    throw new WalgError('WAL_NOT_FOUND', `${failures.length} of ${count} WAL files could not be restored`, {
      cause: failures[0],
      hint: 'pg_rewind would fail without them: mend the cause that is named above and run the command again; if that WAL is gone, take a new backup, or clone the cluster',
    })
  }

  /** In the segment of a switch the parent's file does where the child's was never archived. */
  async #fetchOne({ side, names }: MissingSegment): Promise<string> {
    let failure: unknown
    for (const name of names) {
      try {
        await this.#fetchWal(name, path.join(side.walDirectory, name))
        return name
      } catch (error) {
        if (!(error instanceof WalgError) || error.code !== 'WAL_NOT_FOUND') throw error
        failure ??= error
      }
    }
    throw failure
  }
}
