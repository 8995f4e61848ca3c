import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, fromSystemError } from '../../../../kit/errors.ts'
import type { Lsn } from '../../../../postgres/lsn.ts'
import { timelineSpans, timelinesOfSegment } from '../../../../postgres/timeline-path.ts'
import { SegmentPiece, type Unreadable, type WalPlace } from '../../../../postgres/wal/segment-piece.ts'
import { formatSegmentName, segmentOfLsn, type TimelineId } from '../../../../postgres/wal-segment.ts'
import { findBackup } from '../../../../repository/catalog.ts'
import { WAL_PREFIX } from '../../../../repository/layout.ts'
import { readArchivedPlace } from '../../../../repository/recovery/archived-place.ts'
import { findPayload } from '../../../../repository/sealed.ts'
import type { OperationContext } from '../../../context.ts'
import type { BackupSource } from '../../source/backup-source.ts'
import type { CheckedDirectory } from '../../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'
import { readHistory } from './parent-guards.ts'

/** What was found, and where. `settled`: in the archive since before the parent was complete, so the WAL of that time. */
export interface FoundInWal<T> {
  readonly found: T | Unreadable | { readonly kind: 'settled' } | { readonly kind: 'missing' }
  readonly isArchived: boolean
  /** The files that were looked for. */
  readonly names: readonly string[]
}

/** Looks at a place of the cluster's WAL. The server's own files tell first; they are soon gone, and then the archive has them. */
export async function readWalPlace<T extends { readonly kind: string }>(
  context: OperationContext,
  directory: CheckedDirectory,
  source: Pick<BackupSource, 'timeline'>,
  parent: ParentBackup,
  place: WalPlace<T>,
): Promise<FoundInWal<T>> {
  const names = await segmentNames(context, directory, source, place.lsn)
  let found: FoundInWal<T>['found'] = { kind: 'missing' }
  for (const name of names) {
    const local = readLocal(directory, name, place)
    // a file that turned into another segment meanwhile is in the archive
    if (local !== undefined && local.kind !== 'unreadable') return { found: local, isArchived: false, names }
    found = local ?? found
  }
  for (const name of names) {
    const archived = await readArchived(context, directory, parent, name, place)
    if (archived.kind !== 'missing') return { found: archived, isArchived: true, names }
  }
  return { found, isArchived: false, names }
}

/** The files in which `lsn` lies, the newest timeline first. */
async function segmentNames(
  context: OperationContext,
  directory: CheckedDirectory,
  { timeline }: Pick<BackupSource, 'timeline'>,
  lsn: Lsn,
): Promise<readonly string[]> {
  const { walSegmentBytes } = directory.control
  const { number } = segmentOfLsn(timeline, lsn, walSegmentBytes)
  const history = await readHistory(context, directory, timeline)
  const timelines: readonly TimelineId[] =
    history === null ? [timeline] : timelinesOfSegment(timelineSpans(history), number, walSegmentBytes)
  return timelines.map(each => formatSegmentName({ timeline: each, number }, walSegmentBytes))
}

/** undefined: the segment is not in the server's `pg_wal`. Whoever takes backups need not be allowed to read there. */
function readLocal<T>(
  { root, control }: CheckedDirectory,
  name: string,
  place: WalPlace<T>,
): T | Unreadable | undefined {
  const path = join(root, 'pg_wal', name)
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    const piece = new SegmentPiece(name, place, control)
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
async function readArchived<T>(
  { storage, codec, signal }: OperationContext,
  { control }: CheckedDirectory,
  parent: ParentBackup,
  name: string,
  place: WalPlace<T>,
): Promise<FoundInWal<T>['found']> {
  const [found, sentinel] = await Promise.all([
    findPayload(storage, `${WAL_PREFIX}/${name}`, { firstExtension: codec.extension, signal }),
    findBackup(storage, parent.name, { signal }),
  ])
  if (found === null) return { kind: 'missing' }
  if (sentinel !== null && found.info.modifiedNs <= sentinel.modifiedNs) return { kind: 'settled' }
  return await readArchivedPlace({ storage, codec, signal }, { found, name, control }, place)
}
