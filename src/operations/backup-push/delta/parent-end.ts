import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { ByteStream } from '../../../kit/bytes.ts'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import type { ClusterState, ControlFile } from '../../../postgres/control-file.ts'
import { formatLsn, type Lsn, toLsn } from '../../../postgres/lsn.ts'
import { timelineSpans, timelinesOfSegment } from '../../../postgres/timeline-path.ts'
import {
  type EndingRecord,
  findRecordEnd,
  pagesBefore,
  type RecordEnd,
} from '../../../postgres/wal/record-end.ts'
import { decodePageHeader, decodeSegmentHeader, LONG_HEADER_BYTES } from '../../../postgres/wal/wal-page.ts'
import {
  firstLsnOf,
  formatSegmentName,
  segmentOfLsn,
  type TimelineId,
} from '../../../postgres/wal-segment.ts'
import { findBackup } from '../../../repository/catalog.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import { findPayload, openFound } from '../../../repository/sealed.ts'
import type { OperationContext } from '../../context.ts'
import type { BackupSource } from '../source/backup-source.ts'
import type { CheckedDirectory } from '../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'
import { isUnreadable } from './parent-files.ts'
import { finishOf, readHistory } from './parent-guards.ts'

/** What there is at the place in the cluster's WAL where the parent ended. `settled`: in the archive since before the parent was complete. */
export type ParentEnd = RecordEnd | { readonly kind: 'settled' } | { readonly kind: 'missing' }

/** What is known of a parent when its end is judged. */
export interface EndedParent {
  readonly startLsn: Lsn
  readonly finishLsn: Lsn
  /** Of its pg_control: what it was taken of. */
  readonly state: ClusterState
}

/**
 * Whether the cluster has been where the parent ended. An older state of it may have been brought back without a new timeline, by a
 * snapshot of the machine, say: LSNs then pass the parent's end once more, with other WAL, and pages that had changed in the WAL
 * that was given up would stay as the parent has them.
 */
export function judgeParentEnd(
  { startLsn, finishLsn, state }: EndedParent,
  end: ParentEnd,
): 'reached' | 'rolled back' | 'unknown' {
  switch (end.kind) {
    case 'settled':
      return 'reached'
    case 'missing':
    case 'unreadable':
      return 'unknown'
    case 'between':
      return 'rolled back'
    case 'record':
      return isOwnEnd({ startLsn, finishLsn, state }, end) ? 'reached' : 'rolled back'
  }
}

function isOwnEnd({ startLsn, finishLsn, state }: EndedParent, end: EndingRecord): boolean {
  // a standby ends a backup where it had come, which is behind any record
  if (state === 'in archive recovery' || state === 'shut down in recovery') return true
  // without any other place, and where the record began out of sight, that one ends there is all that can be told
  if (finishLsn === startLsn || end.startLsn === undefined) return true
  // at rest it is the record of the shutdown checkpoint, else that of pg_backup_stop
  return (state === 'shut down' ? end.startLsn : end.backupStartLsn) === startLsn
}

/**
 * Why the parent lies off the way that the cluster has taken on one timeline; undefined when it does not, and when that cannot be
 * found out, which is said.
 */
export async function findRollback(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  parent: ParentBackup,
  { state }: Pick<ControlFile, 'state'>,
): Promise<string | undefined> {
  const { name, startLsn } = parent
  const finishLsn = finishOf(parent)
  const names = await segmentNames(context, directory, source, finishLsn)
  const end = await readParentEnd(context, directory, parent, names)
  const verdict = judgeParentEnd({ startLsn, finishLsn, state }, end)
  if (verdict === 'rolled back') {
    return `the cluster's WAL does not have its end at ${formatLsn(finishLsn)}: an older state of the cluster was brought back since, and went on on the same timeline`
  }
  if (verdict === 'unknown') {
    const why = end.kind === 'unreadable' ? end.reason : 'it is neither in pg_wal nor in the archive'
    context.log.warning(
      `whether the cluster went on from where ${name} ended cannot be checked in WAL segment ${names.join(' or ')}: ${why}. ` +
        'If an older state of it was brought back since, without a new timeline, this delta is wrong: take a full backup (--full)',
    )
  }
  return undefined
}

/** The files in which the WAL before `endLsn` lies, the newest timeline first. */
async function segmentNames(
  context: OperationContext,
  directory: CheckedDirectory,
  { timeline }: BackupSource,
  endLsn: Lsn,
): Promise<readonly string[]> {
  const { walSegmentBytes } = directory.control
  const { number } = segmentOfLsn(timeline, toLsn(endLsn - 1n), walSegmentBytes)
  const history = await readHistory(context, directory, timeline)
  const timelines: readonly TimelineId[] =
    history === null ? [timeline] : timelinesOfSegment(timelineSpans(history), number, walSegmentBytes)
  return timelines.map(each => formatSegmentName({ timeline: each, number }, walSegmentBytes))
}

/** The server's own WAL tells first; it is soon gone, and then the archive has it. */
async function readParentEnd(
  context: OperationContext,
  directory: CheckedDirectory,
  parent: ParentBackup,
  names: readonly string[],
): Promise<ParentEnd> {
  const endLsn = finishOf(parent)
  let end: ParentEnd = { kind: 'missing' }
  for (const name of names) {
    const local = readLocalEnd(directory, name, endLsn)
    // a file that turned into another segment meanwhile is in the archive
    if (local !== undefined && local.kind !== 'unreadable') return local
    end = local ?? end
  }
  for (const name of names) {
    const archived = await readArchivedEnd(context, directory, parent, name)
    if (archived.kind !== 'missing') return archived
  }
  return end
}

/** undefined: the segment is not in the server's `pg_wal`. Whoever takes backups need not be allowed to read there. */
function readLocalEnd({ root, control }: CheckedDirectory, name: string, endLsn: Lsn): RecordEnd | undefined {
  const path = join(root, 'pg_wal', name)
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    const piece = new SegmentPiece(name, endLsn, control)
    for (const { from, bytes } of piece.wanted) readSync(fd, bytes, 0, bytes.length, from)
    return piece.judge()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    return { kind: 'unreadable', reason: fromSystemError(error, 'read', path).message }
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/**
 * An object that was there before the parent's sentinel is the WAL of that time; the archive has got other WAL only when it is
 * younger. A copy of the repository makes all objects as young as itself: then it is read.
 */
async function readArchivedEnd(
  { storage, codec, signal }: OperationContext,
  { control }: CheckedDirectory,
  parent: ParentBackup,
  name: string,
): Promise<ParentEnd> {
  const [found, sentinel] = await Promise.all([
    findPayload(storage, `${WAL_PREFIX}/${name}`, { firstExtension: codec.extension, signal }),
    findBackup(storage, parent.name, { signal }),
  ])
  if (found === null) return { kind: 'missing' }
  if (sentinel !== null && found.info.modifiedNs <= sentinel.modifiedNs) return { kind: 'settled' }
  const piece = new SegmentPiece(name, finishOf(parent), control)
  try {
    await piece.takeFrom(await openFound(storage, codec, found, { signal }))
  } catch (error) {
    if (!isUnreadable(error)) throw error
    return { kind: 'unreadable', reason: error.message }
  }
  return piece.judge()
}

/** The bytes of a segment that tell what ends at a place. */
class SegmentPiece {
  readonly wanted: readonly { readonly from: number; readonly bytes: Uint8Array }[]
  readonly #name: string
  readonly #endLsn: Lsn
  readonly #control: ControlFile
  readonly #head = new Uint8Array(LONG_HEADER_BYTES)
  readonly #pages: Uint8Array

  constructor(name: string, endLsn: Lsn, control: ControlFile) {
    const { walSegmentBytes: segmentBytes, walBlockBytes: walPageBytes } = control
    const { from, to } = pagesBefore(endLsn, { segmentBytes, walPageBytes })
    this.#name = name
    this.#endLsn = endLsn
    this.#control = control
    this.#pages = new Uint8Array(to - from)
    this.wanted = [
      { from: 0, bytes: this.#head },
      { from, bytes: this.#pages },
    ]
  }

  async takeFrom(stream: ByteStream): Promise<void> {
    const end = Math.max(...this.wanted.map(({ from, bytes }) => from + bytes.length))
    let at = 0
    for await (const chunk of stream) {
      for (const { from, bytes } of this.wanted) {
        const begin = Math.max(from, at)
        const count = Math.min(from + bytes.length, at + chunk.length) - begin
        if (count > 0) bytes.set(chunk.subarray(begin - at, begin - at + count), begin - from)
      }
      at += chunk.length
      if (at >= end) return
    }
  }

  judge(): RecordEnd {
    const { systemIdentifier, walSegmentBytes, walBlockBytes } = this.#control
    const view = new DataView(this.#head.buffer)
    const segment = decodeSegmentHeader(view, 0)
    const isOurs =
      segment?.systemIdentifier === systemIdentifier &&
      segment.segmentBytes === walSegmentBytes &&
      segment.walPageBytes === walBlockBytes &&
      decodePageHeader(view, 0).pageLsn === firstLsnOf(this.#name, walSegmentBytes)
    if (!isOurs) return { kind: 'unreadable', reason: 'it does not begin like that segment of this cluster' }
    const timeline = Number.parseInt(this.#name.slice(0, 8), 16)
    return findRecordEnd(this.#pages, { segment, timeline, endLsn: this.#endLsn })
  }
}
