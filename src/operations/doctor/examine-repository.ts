import { hasCode } from '../../kit/errors.ts'
import { formatDurationMs } from '../../kit/sizes.ts'
import { epochNs, isZeroTime, nowNs } from '../../kit/timestamp.ts'
import { formatTimeTarget } from '../../postgres/recovery-target.ts'
import { timelineSpans } from '../../postgres/timeline-path.ts'
import { parseSegmentName } from '../../postgres/wal-segment.ts'
import { type BackupName, parseBackupName } from '../../repository/backup-name.ts'
import { backupObjectKeys, readCatalog, readSentinel } from '../../repository/catalog.ts'
import { ArchivedWal, historyOf } from '../../repository/recovery/archived-wal.ts'
import { readSegmentHeader } from '../../repository/recovery/recovery-points.ts'
import type { Sentinel } from '../../repository/sentinel.ts'
import type { OperationContext } from '../context.ts'
import type { Examination } from './examination.ts'

type RepositoryContext = Pick<OperationContext, 'storage' | 'codec' | 'signal'>

export interface NewestBackup {
  readonly name: string
  readonly sentinel: Sentinel
}

/** Backups and the WAL behind the newest one. Returns that, and the archive, for comparison with the server. */
export async function examineRepository(
  examination: Examination,
  context: RepositoryContext,
  backupAgeMsMax: number,
): Promise<{ readonly newest?: NewestBackup; readonly archive?: ArchivedWal }> {
  const newest = await examination.check('backups', 'backups cannot be listed', () =>
    examineBackups(examination, context, backupAgeMsMax),
  )
  const archive = await examination.check('archiving', 'the archive cannot be listed', () =>
    ArchivedWal.read(context.storage, context),
  )
  if (newest !== undefined && archive !== undefined) {
    await examination.check('archiving', `the WAL behind ${newest.name} cannot be judged`, () =>
      examineChain(examination, context, newest, archive),
    )
  }
  return {
    ...(newest === undefined ? {} : { newest }),
    ...(archive === undefined ? {} : { archive }),
  }
}

async function examineBackups(
  examination: Examination,
  context: RepositoryContext,
  backupAgeMsMax: number,
): Promise<NewestBackup | undefined> {
  const { backups, leftovers } = await readCatalog(context.storage, context)
  const unfinished = await countNotEmpty(context, leftovers)
  if (unfinished > 0) {
    examination.note(
      'backups',
      'note',
      `${unfinished} backups were begun and never finished`,
      'delete garbage removes them when they are old enough',
    )
  }
  for (const { name, modifiedNs } of backups.toReversed()) {
    const sentinel = await readGood(examination, context, name)
    if (sentinel === undefined) continue
    const { finishTime } = sentinel
    const finishedNs = finishTime === null || isZeroTime(finishTime) ? modifiedNs : epochNs(finishTime)
    const ageMs = Number(nowNs() - finishedNs) / 1e6
    const age = formatDurationMs(Math.max(0, Math.round(ageMs / 1000) * 1000))
    const isOld = ageMs > backupAgeMsMax
    examination.note(
      'backups',
      isOld ? 'warning' : 'ok',
      `${backups.length} backups; the newest, ${name}, is ${age} old`,
      isOld ? 'look at the service that takes backups, or take one: backup-push' : undefined,
    )
    return { name, sentinel }
  }
  const how = backups.length === 0 ? 'there is no backup' : 'no backup can be read'
  examination.note('backups', 'failure', how, 'take one: backup-push')
  return undefined
}

/** An empty folder of a file system takes no room, and nothing would remove it. */
async function countNotEmpty(context: RepositoryContext, names: readonly BackupName[]): Promise<number> {
  let count = 0
  for (const name of names) if ((await backupObjectKeys(context.storage, name, context)).length > 0) count++
  return count
}

async function readGood(
  examination: Examination,
  context: RepositoryContext,
  name: Parameters<typeof readSentinel>[1],
): Promise<Sentinel | undefined> {
  try {
    return (await readSentinel(context.storage, name, context)).sentinel
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND')) throw error
    examination.note('backups', 'failure', error.message, error.hint)
    return undefined
  }
}

/** Holes, and a key that opens what lies there. */
async function examineChain(
  examination: Examination,
  context: RepositoryContext,
  { name, sentinel }: NewestBackup,
  archive: ArchivedWal,
): Promise<void> {
  const parts = parseBackupName(name)
  if (parts === undefined || sentinel.lsn === null) return
  const { timeline, walFile } = parts
  const stored = archive.find(walFile)
  if (stored === undefined) {
    examination.note(
      'archiving',
      'failure',
      `WAL segment ${walFile}, with which backup ${name} begins, is not in the archive`,
      'does archive_command push into this repository? Take a new backup when it does',
    )
    return
  }
  const { segmentBytes } = await readSegmentHeader(
    context.storage,
    context.codec,
    { name: walFile, ...stored },
    context,
  )
  examination.note('keys', 'ok', `the settings of this call open what is archived (${walFile})`)
  const latest = archive.latestTimelineFrom(timeline)
  const history = await historyOf(context.storage, context.codec, latest, {
    ...context,
    isWithoutParents: latest === timeline,
  })
  const lost = archive.lostHistory(latest)
  if (lost !== undefined) {
    examination.note(
      'archiving',
      lost.isEmpty ? 'failure' : 'warning',
      lost.isEmpty
        ? `"${lost.name}" is an empty object: which timeline is the newest cannot be told`
        : `timeline ${latest} is taken for the newest, the archive has WAL of ${lost.further.join(', ')} as well, and not "${lost.name}"`,
      'push it from pg_wal of a server that has been on that timeline (wal-push)',
    )
  }
  const first = parseSegmentName(walFile, segmentBytes).number
  const chain = archive.chain(timelineSpans(history), first, segmentBytes)
  const { segments, missing, behindHole } = chain
  if (chain.isEmpty) {
    examination.note(
      'archiving',
      'failure',
      `WAL segment ${missing} is an empty object: no recovery gets past it`,
      'push it again from pg_wal of the server or of a standby (wal-push), or take a new backup',
    )
    return
  }
  if (behindHole !== undefined) {
    examination.note(
      'archiving',
      'failure',
      `WAL segment ${missing} is missing, ${behindHole} is there: nothing behind the gap can be recovered`,
      'bring it back from pg_wal of the server or of a standby (wal-push), or take a new backup',
    )
    return
  }
  const last = segments.at(-1)!
  const when = formatTimeTarget(last.modifiedNs / 1000n)
  examination.note(
    'archiving',
    'ok',
    `${segments.length} WAL segments behind the newest backup, without a gap, up to ${last.name} (archived ${when})`,
  )
}
