import { existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { deltaGroupOf, joinGroup } from '../../delta/map/delta-group.ts'
import { encodeDeltaObject } from '../../delta/map/delta-object.ts'
import {
  decodeSegmentChanges,
  encodeSegmentChanges,
  type SegmentChanges,
  SegmentScan,
} from '../../delta/map/segment-changes.ts'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { streamOf } from '../../kit/bytes.ts'
import { errnoOf, hasCode } from '../../kit/errors.ts'
import { isSegmentName, nextSegmentName } from '../../postgres/wal-segment.ts'
import { walKey } from '../../repository/layout.ts'
import { putSealed } from '../../repository/sealed.ts'
import type { OperationContext } from '../context.ts'
import { openWalSource } from './wal-source.ts'

/**
 * One file per segment, a pure function of the segment: pushes may come in any order, twice, side by side, and be killed at any
 * time. WAL-G clears plain files out of `walg_data`, but not folders.
 */
const RECORDS_FOLDER = 'walg_data/walg_changes'
const SUFFIX = '.changes'
/** Those of groups that never became complete go when there are more. */
const RECORDS_MAX = 96
const READ_BYTES = 1 << 20

/**
 * Notes which blocks a segment changes, and when that completes a group of sixteen, stores the group's `_delta` object. Never
 * makes a push fail: without the object a delta backup reads the WAL itself.
 */
export async function recordChanges(
  context: OperationContext,
  file: { readonly name: string; readonly path: string },
  walDirectory: string,
): Promise<void> {
  if (!isSegmentName(file.name)) return
  try {
    const records = new ChangeRecords(context, walDirectory)
    const changes = await records.record(file.name, file.path)
    await records.completeGroups(changes)
    records.prune()
  } catch (error) {
    if (hasCode(error, 'CANCELLED') || context.signal.aborted) throw error
    context.log.warning(
      `changed blocks of ${file.name} are not recorded: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

class ChangeRecords {
  readonly #context: OperationContext
  readonly #walDirectory: string
  readonly #folder: string

  constructor(context: OperationContext, walDirectory: string) {
    this.#context = context
    this.#walDirectory = walDirectory
    this.#folder = join(walDirectory, RECORDS_FOLDER)
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  async record(name: string, path: string): Promise<SegmentChanges> {
    const changes = scanSegmentFile(name, path)
    // one that is lost or cut with the power is noticed by its checksum
    await writeFileDurably(this.#pathOf(name), encodeSegmentChanges(changes), { isDurable: false })
    return changes
  }

  /** A segment belongs to its group, and the last of a group is needed by the next one too. */
  async completeGroups({ name, segmentBytes }: SegmentChanges): Promise<void> {
    const own = deltaGroupOf(name, segmentBytes)
    const isLast = own.names.at(-1) === name
    await this.#completeGroup(own, isLast)
    if (isLast)
      await this.#completeGroup(deltaGroupOf(nextSegmentName(name, segmentBytes), segmentBytes), false)
  }

  /** `isDue`: its last segment is here; what is missing is read again from `pg_wal`, where it mostly still lies. */
  async #completeGroup(
    { before, names }: { readonly before: string; readonly names: readonly string[] },
    isDue: boolean,
  ): Promise<void> {
    const needed = [before, ...names]
    const isWanted = (name: string): boolean => this.#isRecorded(name) || (isDue && this.#isInWal(name))
    if (!needed.every(isWanted)) return
    const [first, ...group] = needed.map(name => this.#read(name))
    const delta = joinGroup(first!, group)
    const object = names[0]!
    const { storage, codec, signal, log } = this.#context
    const key = walKey(`${object}_delta`, '')
    await putSealed(storage, codec, key, streamOf(encodeDeltaObject(delta)), { signal })
    log.info(`Changed blocks of ${object} and the ${names.length - 1} segments after it are stored`)
    for (const name of needed.slice(0, -1)) removeIfThere(this.#pathOf(name))
  }

  prune(): void {
    const files = readdirSync(this.#folder).sort()
    for (const file of files.slice(0, Math.max(0, files.length - RECORDS_MAX))) {
      removeIfThere(join(this.#folder, file))
    }
  }

  #read(name: string): SegmentChanges {
    try {
      return decodeSegmentChanges(readFileSync(this.#pathOf(name)), name)
    } catch (error) {
      const isUseless = hasCode(error, 'FORMAT_INVALID', 'FORMAT_TRUNCATED', 'CHECKSUM_MISMATCH')
      if (!isUseless && errnoOf(error) !== 'ENOENT') throw error
      return scanSegmentFile(name, join(this.#walDirectory, name))
    }
  }

  #isRecorded(name: string): boolean {
    return existsSync(this.#pathOf(name))
  }

  #isInWal(name: string): boolean {
    return name !== '' && existsSync(join(this.#walDirectory, name))
  }

  #pathOf(name: string): string {
    return join(this.#folder, name + SUFFIX)
  }
}

function scanSegmentFile(name: string, path: string): SegmentChanges {
  const source = openWalSource(path)
  try {
    const scan = new SegmentScan(name)
    const chunk = new Uint8Array(READ_BYTES)
    for (let position = 0; ; ) {
      const count = source.readAt(chunk, position)
      if (count === 0) return scan.end()
      scan.update(chunk.subarray(0, count))
      position += count
    }
  } finally {
    source.close()
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
