import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../../../../kit/errors.ts'
import { readRegularFile } from '../../../../kit/file-system.ts'
import { epochNs, isZeroTime } from '../../../../kit/timestamp.ts'
import { formatBackupHistoryName, parseStopLsn } from '../../../../postgres/backup-label.ts'
import type { ControlFile } from '../../../../postgres/control-file.ts'
import type { Lsn } from '../../../../postgres/lsn.ts'
import { parseSegmentName } from '../../../../postgres/wal-segment.ts'
import { walFileOfName } from '../../../../repository/backup-name.ts'
import type { BackupSource } from '../../source/backup-source.ts'
import type { CheckedDirectory } from '../../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'
import { finishOf } from './parent-guards.ts'

/** `<segment>.<offset>.backup`, which pg_backup_stop of a primary leaves in pg_wal. */
const STOP_RECORD = /^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/
/** Between the stop and the sentinel clocks and times of files may differ by so much. */
const SLACK_NS = 5_000_000_000n

/**
 * What `pg_wal` tells of the end of a parent. A primary that archives keeps there the record of the backup that ended last, until the
 * next one ends, whatever becomes of the WAL. `own`: that of the parent, so this is the cluster that has been there. `gone`: not that
 * one, and none of a later backup, so an older state of the cluster was brought back. Source: `CleanupBackupHistory` of xlog.c.
 */
export function findStopRecord(
  { root, control: { walSegmentBytes } }: CheckedDirectory,
  { isArchiving, timeline }: Pick<BackupSource, 'isArchiving' | 'timeline'>,
  parent: ParentBackup,
  { state }: Pick<ControlFile, 'state'>,
): 'own' | 'gone' | 'unknown' {
  const walFile = walFileOfName(parent.name)
  if (state !== 'in production' || parseSegmentName(walFile, walSegmentBytes).timeline !== timeline)
    return 'unknown'
  const own = formatBackupHistoryName(walFile, parent.startLsn, walSegmentBytes)
  const folder = join(root, 'pg_wal')
  try {
    const names = readdirSync(folder)
    if (names.includes(own)) return judgeOwn(join(folder, own), parent)
    const finishLsn = finishOf(parent)
    const others = names.filter(name => STOP_RECORD.test(name)).map(name => stopOf(join(folder, name)))
    const isLast = others.every(stopLsn => stopLsn !== undefined && stopLsn < finishLsn)
    return isLast && isArchiving === true ? 'gone' : 'unknown'
  } catch (error) {
    // whoever takes backups need not be allowed to read there
    if (errnoOf(error) === undefined) throw error
    return 'unknown'
  }
}

/** Another backup may have begun at the same place since, and ended elsewhere, or later. */
function judgeOwn(path: string, parent: ParentBackup): 'own' | 'gone' | 'unknown' {
  const stopLsn = stopOf(path)
  if (stopLsn === undefined) return 'unknown'
  if (stopLsn !== finishOf(parent)) return 'gone'
  const { finishTime } = parent.chain[0]!.document.sentinel
  if (finishTime === null || isZeroTime(finishTime)) return 'unknown'
  const { mtimeNs } = statSync(path, { bigint: true })
  return mtimeNs <= epochNs(finishTime) + SLACK_NS ? 'own' : 'unknown'
}

/** Where the backup ended: one that began before the parent may have ended behind it. */
function stopOf(path: string): Lsn | undefined {
  return parseStopLsn(readRegularFile(path).toString())
}
