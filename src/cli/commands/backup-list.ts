import { indentJson, type JsonValue, writeJson } from '../../kit/json.ts'
import { formatTimestamp, localTimestampFromNs, type Timestamp } from '../../kit/timestamp.ts'
import { backupList, type ListedBackup } from '../../operations/backup-list/backup-list.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import { DATE_FORMAT } from '../../repository/date-format.ts'
import { TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { withOpened } from '../opened-storages.ts'
import { formatBoxTable, formatPlainTable, type Table } from '../render/table.ts'
import { formatPlainTime, formatPrettyTime } from '../render/time.ts'

export const command: CommandDefinition = {
  name: 'backup-list',
  usage: 'backup-list',
  summary: 'Prints full list of backups from which recovery is available',
  positionals: { kind: 'none' },
  flags: [
    { name: 'detail', type: 'boolean', doc: 'Prints extra DB-specific backup details' },
    {
      name: 'json',
      type: 'boolean',
      doc: 'Prints output in JSON format, multiline and indented if combined with --pretty flag',
    },
    { name: 'pretty', type: 'boolean', doc: 'Prints more readable output in table format' },
    TARGET_STORAGE_FLAG,
  ],
  needsStorage: true,
  async run(invocation: Invocation): Promise<number> {
    const { flags, log, signal } = invocation
    return withOpened(await invocation.openForFetch(), async ({ first, others }) => {
      const otherStorages = others.map(({ storage }) => storage)
      const context = { storage: first.storage, otherStorages, log, signal }
      const backups = await backupList(context, { detail: flags['detail'] === true })
      await printBackups(invocation, backups, true)
      return 0
    })
  },
}

/** Prints a list in the form that the flags ask for; `hasTypes`: with what only ours tells of a backup. */
export async function printBackups(
  { flags, log, print }: Invocation,
  backups: readonly ListedBackup[],
  hasTypes: boolean,
): Promise<void> {
  const isPretty = flags['pretty'] === true
  const isDetailed = flags['detail'] === true
  if (flags['json'] === true) {
    const text = writeJson(backups.map(backup => listedBackupJson(backup, isDetailed, hasTypes)))
    await print(`${isPretty ? indentJson(text, '    ') : text}\n`)
  } else if (backups.length === 0) {
    log.info('No backups found')
  } else {
    const detail = hasTypes ? [...DETAIL_COLUMNS, TYPE_COLUMN] : DETAIL_COLUMNS
    const columns = isDetailed ? [...COLUMNS, ...detail] : COLUMNS
    const table = isPretty ? prettyTable(backups, columns) : plainTable(backups, columns)
    await print(isPretty ? formatBoxTable(table) : formatPlainTable(table))
  }
}

/** Heading in both tables and the cell of a backup. */
interface Column {
  readonly plain: string
  readonly pretty: string
  readonly cell: (backup: ListedBackup, formatTime: (time: Timestamp | null) => string) => string
}

const COLUMNS: readonly Column[] = [
  { plain: 'backup_name', pretty: 'Backup name', cell: ({ entry }) => entry.name },
  {
    plain: 'modified',
    pretty: 'Modified',
    cell: ({ entry }, formatTime) => formatTime(localTimestampFromNs(entry.modifiedNs)),
  },
  { plain: 'wal_file_name', pretty: 'WAL file name', cell: ({ walFile }) => walFile },
  { plain: 'storage_name', pretty: 'Storage name', cell: ({ entry }) => entry.storageName },
]

const DETAIL_COLUMNS: readonly Column[] = [
  {
    plain: 'start_time',
    pretty: 'Start time',
    cell: ({ detail }, formatTime) => formatTime(detail?.startTime ?? null),
  },
  {
    plain: 'finish_time',
    pretty: 'Finish time',
    cell: ({ detail }, formatTime) => formatTime(detail?.finishTime ?? null),
  },
  { plain: 'hostname', pretty: 'Hostname', cell: ({ detail }) => detail?.hostname ?? '-' },
  { plain: 'data_dir', pretty: 'Datadir', cell: ({ detail }) => detail?.dataDirectory ?? '-' },
  { plain: 'pg_version', pretty: 'PG version', cell: ({ detail }) => String(detail?.pgVersion ?? '-') },
  { plain: 'start_lsn', pretty: 'Start LSN', cell: ({ detail }) => lsnCell(detail?.startLsn) },
  { plain: 'finish_lsn', pretty: 'Finish LSN', cell: ({ detail }) => lsnCell(detail?.finishLsn) },
  { plain: 'is_permanent', pretty: 'Permanent', cell: ({ detail }) => String(detail?.isPermanent ?? '-') },
]

/** Ours. */
const TYPE_COLUMN: Column = {
  plain: 'backup_type',
  pretty: 'Backup type',
  cell: ({ backupType }) => backupType,
}

function lsnCell(lsn: Parameters<typeof formatLsn>[0] | null | undefined): string {
  return lsn === null || lsn === undefined ? '-' : formatLsn(lsn)
}

function plainTable(backups: readonly ListedBackup[], columns: readonly Column[]): Table {
  return {
    columns: columns.map(({ plain }) => plain),
    rows: backups.map(backup => columns.map(({ cell }) => cell(backup, formatPlainTime))),
  }
}

function prettyTable(backups: readonly ListedBackup[], columns: readonly Column[]): Table {
  return {
    columns: columns.map(({ pretty }) => pretty),
    rows: backups.map(backup => columns.map(({ cell }) => cell(backup, formatPrettyTime))),
  }
}

/** One backup as `--json` prints it. */
export function listedBackupJson(
  { entry, walFile, backupType, encryption, detail }: ListedBackup,
  isDetailed: boolean,
  hasTypes = true,
): Readonly<Record<string, JsonValue | undefined>> {
  const common = {
    backup_name: entry.name,
    time: formatTimestamp(localTimestampFromNs(entry.modifiedNs)),
    wal_file_name: walFile,
    storage_name: entry.storageName,
  }
  if (!isDetailed) return common
  return {
    ...common,
    start_time: timeJson(detail?.startTime),
    finish_time: timeJson(detail?.finishTime),
    date_fmt: DATE_FORMAT,
    hostname: detail?.hostname ?? null,
    data_dir: detail?.dataDirectory ?? null,
    pg_version: detail?.pgVersion ?? null,
    start_lsn: detail?.startLsn ?? null,
    finish_lsn: detail?.finishLsn ?? null,
    is_permanent: detail?.isPermanent ?? null,
    system_identifier: detail?.systemIdentifier ?? null,
    uncompressed_size: detail?.uncompressedSizeBytes ?? null,
    compressed_size: detail?.compressedSizeBytes ?? null,
    user_data: detail === null || detail.userData === null ? undefined : { rawJson: detail.userData },
    backup_type: hasTypes ? backupType : undefined,
    encryption:
      encryption === undefined || !hasTypes ? undefined : { method: encryption.method, key: encryption.key },
  }
}

function timeJson(time: Timestamp | null | undefined): string | null {
  return time === null || time === undefined ? null : formatTimestamp(time)
}
