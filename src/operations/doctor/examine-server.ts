import path from 'node:path'
import { formatDurationMs } from '../../kit/sizes.ts'
import { listReady } from '../../postgres/archive-status.ts'
import type { Cluster } from '../../postgres/cluster/cluster.ts'
import {
  type ClusterFacts,
  isArchiving,
  readArchiverState,
  readClusterFacts,
} from '../../postgres/cluster/cluster-facts.ts'
import type { ArchivedWal } from '../../repository/recovery/archived-wal.ts'
import type { Examination } from './examination.ts'
import type { NewestBackup } from './examine-repository.ts'

export interface ServerExpectations {
  readonly segmentBytes: number
  readonly blockBytes: number
  readonly newest: NewestBackup | undefined
  readonly archive: ArchivedWal | undefined
}

const CLOCK_MS_MAX = 5000
/** Finished segments that wait for the archiver. */
const WAITING_MAX = 16

/** Settings, roles and the state of archiving of the server itself. Returns what it says of itself. */
export async function examineServer(
  examination: Examination,
  cluster: Cluster,
  expected: ServerExpectations,
): Promise<ClusterFacts | undefined> {
  const facts = await examination.check('server', 'the role may not read what a backup has to know', () =>
    readClusterFacts(cluster),
  )
  if (facts === undefined) return undefined
  examination.note(
    'server',
    'ok',
    `PostgreSQL ${Math.floor(facts.versionNumber / 10_000)}.${facts.versionNumber % 10_000} at ${cluster.address}, timeline ${facts.timeline}${facts.isInRecovery ? ', a standby' : ''}`,
  )
  compareSizes(examination, facts, expected)
  await examination.check('server', 'settings cannot be read', () => examineSettings(examination, cluster))
  await examination.check('server', 'privileges cannot be read', () => examineRole(examination, cluster))
  examineArchiveCommand(examination, facts)
  await examination.check('archiving', 'the state of the archiver cannot be read', () =>
    examineArchiver(examination, cluster, facts, expected),
  )
  await examination.check('archiving', 'waiting WAL cannot be counted', () =>
    countWaiting(examination, facts),
  )
  return facts
}

function compareSizes(examination: Examination, facts: ClusterFacts, expected: ServerExpectations): void {
  const { segmentBytes, blockBytes, newest } = expected
  if (facts.walSegmentBytes !== segmentBytes) {
    const mib = facts.walSegmentBytes / (1 << 20)
    examination.note(
      'settings',
      'failure',
      `WAL segments of the server have ${mib} MiB, WALG_PG_WAL_SIZE says ${segmentBytes / (1 << 20)}`,
      `set WALG_PG_WAL_SIZE to ${mib}`,
    )
  }
  if (facts.blockBytes !== blockBytes) {
    examination.note(
      'settings',
      'failure',
      `pages of the server have ${facts.blockBytes} bytes, WALG_PG_BLOCK_SIZE says ${blockBytes}`,
      `set WALG_PG_BLOCK_SIZE to ${facts.blockBytes}`,
    )
  }
  const owner = newest?.sentinel.systemIdentifier ?? null
  if (newest !== undefined && owner !== null && owner !== facts.systemIdentifier) {
    examination.note(
      'backups',
      'failure',
      `the newest backup, ${newest.name}, is of another cluster (${owner}, this one is ${facts.systemIdentifier})`,
      'give each cluster a repository of its own; after pg_upgrade, take a new backup',
    )
  }
  if (!facts.hasDataChecksums) {
    examination.note(
      'server',
      'note',
      'data checksums are off: damage on the disk of the server goes into backups unnoticed',
      'pg_checksums --enable, while the server is stopped',
    )
  }
}

async function examineSettings(examination: Examination, cluster: Cluster): Promise<void> {
  const [row] = await cluster.query(`
    select pg_catalog.current_setting('wal_level') as wal_level,
      pg_catalog.current_setting('full_page_writes') as full_page_writes,
      pg_catalog.current_setting('fsync') as fsync,
      pg_catalog.current_setting('archive_timeout') as archive_timeout,
      pg_catalog.current_setting('summarize_wal', true) as summarize_wal,
      (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint::text as now_ms`)
  if (row?.['wal_level'] === 'minimal') {
    examination.note('server', 'failure', 'wal_level is minimal', 'set wal_level = replica and restart')
  }
  for (const name of ['full_page_writes', 'fsync']) {
    if (row?.[name] === 'on') continue
    const message = `${name} is ${row?.[name]}: the server itself may lose data in a crash`
    examination.note('server', 'warning', message, `set ${name} = on`)
  }
  if (row?.['archive_timeout'] === '0') {
    examination.note(
      'archiving',
      'warning',
      'archive_timeout is 0: on a quiet server what a lost host costs has no bound',
      "set archive_timeout = '60s'",
    )
  }
  if (row?.['summarize_wal'] === 'off') {
    examination.note(
      'server',
      'note',
      'summarize_wal is off: delta backups read every page to find the changed ones',
      'set summarize_wal = on if you take delta backups',
    )
  }
  const offMs = Math.abs(Date.now() - Number(row?.['now_ms'] ?? Date.now()))
  if (offMs > CLOCK_MS_MAX) {
    examination.note(
      'server',
      'warning',
      `the clocks of this host and of the server differ by ${formatDurationMs(offMs)}`,
      'synchronise them (NTP)',
    )
  }
}

async function examineRole(examination: Examination, cluster: Cluster): Promise<void> {
  const isNew = cluster.majorVersion >= 15
  const begin = isNew
    ? 'pg_catalog.pg_backup_start(text,boolean)'
    : 'pg_catalog.pg_start_backup(text,boolean,boolean)'
  const end = isNew ? 'pg_catalog.pg_backup_stop(boolean)' : 'pg_catalog.pg_stop_backup(boolean,boolean)'
  const [row] = await cluster.query(
    `select pg_catalog.has_function_privilege($1, 'execute') as may_begin,
      pg_catalog.has_function_privilege($2, 'execute') as may_end,
      pg_catalog.quote_ident(current_user) as role`,
    [begin, end],
  )
  if (row?.['may_begin'] === 't' && row['may_end'] === 't') {
    examination.note('server', 'ok', `role ${row['role']} may take backups`)
    return
  }
  examination.note(
    'server',
    'failure',
    `role ${row?.['role'] ?? ''} may not begin and end backups`,
    `GRANT EXECUTE ON FUNCTION ${begin}, ${end} TO ${row?.['role'] ?? ''}`,
  )
}

function examineArchiveCommand(examination: Examination, facts: ClusterFacts): void {
  const { archiveMode, archiveCommand, archiveLibrary } = facts
  if (archiveMode === 'off') {
    examination.note(
      'archiving',
      'failure',
      'archive_mode is off: there is nothing to recover with behind a backup',
      'set archive_mode = on and restart',
    )
    return
  }
  if (archiveLibrary !== '') {
    const message = `archive_library is "${archiveLibrary}": archive_command is not used`
    examination.note('archiving', 'warning', message)
  } else if (archiveCommand === '') {
    examination.note(
      'archiving',
      'failure',
      'archive_command is empty: WAL piles up in pg_wal',
      "set archive_command = 'wal-g --config FILE wal-push %p'",
    )
  } else if (!archiveCommand.includes('wal-push')) {
    examination.note(
      'archiving',
      'warning',
      'archive_command does not call wal-push',
      'make sure that the script behind it does, and passes on its exit status',
    )
  }
}

async function examineArchiver(
  examination: Examination,
  cluster: Cluster,
  facts: ClusterFacts,
  { archive }: ServerExpectations,
): Promise<void> {
  if (!isArchiving(facts)) return
  const state = await readArchiverState(cluster)
  if (state.isFailing) {
    examination.note(
      'archiving',
      'failure',
      `archiving fails: the last try, ${state.lastFailedName}, at ${state.lastFailedTimeText}, did not succeed`,
      'the log of the server has the ERROR line of wal-push',
    )
  }
  const last = state.lastArchivedName
  if (last === undefined) {
    examination.note(
      'archiving',
      'warning',
      'the server has not archived anything since its statistics began',
      'SELECT pg_switch_wal() and look at pg_stat_archiver',
    )
  } else if (archive !== undefined && /^[0-9A-F]{24}$/.test(last) && archive.find(last) === undefined) {
    examination.note(
      'archiving',
      'failure',
      `the server says that ${last} is archived, but it is not in this repository`,
      'archive_command pushes elsewhere: compare its settings with these',
    )
  } else if (!state.isFailing) {
    examination.note('archiving', 'ok', `the server archives; the last file was ${last}`)
  }
}

/** Only where this process can look into pg_wal. */
async function countWaiting(examination: Examination, { dataDirectory }: ClusterFacts): Promise<void> {
  const ready = await listReady(path.join(dataDirectory, 'pg_wal'))
  if (ready === undefined || ready.length <= WAITING_MAX) return
  examination.note(
    'archiving',
    'warning',
    `${ready.length} finished WAL files wait to be archived`,
    'the archiver does not keep up: look at pg_stat_archiver and at the log of the server',
  )
}
