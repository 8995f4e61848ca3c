import {
  boolean,
  byteSize,
  concurrency,
  duration,
  jsonText,
  oneOf,
  share,
  text,
  wholeNumber,
} from '../kit/setting-parsers.ts'
import type { SettingsTable, SettingsTableOf } from '../kit/settings.ts'
import { type PolicySettings, policySettings } from './delete/policy-settings.ts'

/** How backups and WAL are pushed and fetched. */
export interface OperationSettings extends PolicySettings {
  readonly WALG_DOWNLOAD_CONCURRENCY: number
  readonly WALG_DOWNLOAD_FILE_RETRIES: number
  readonly WALG_UPLOAD_CONCURRENCY: number
  /** Undefined: decided from the CPUs. */
  readonly WALG_UPLOAD_DISK_CONCURRENCY: number | undefined
  readonly WALG_DISK_RATE_LIMIT: number | undefined
  readonly WALG_TAR_SIZE_THRESHOLD: number
  readonly WALG_TAR_DISABLE_FSYNC: boolean
  readonly WALG_DELTA_MAX_STEPS: number
  readonly WALG_DELTA_ORIGIN: 'LATEST' | 'LATEST_FULL'
  readonly WALG_DELTA_MAX_RATIO: number | undefined
  readonly WALG_DELTA_FROM_NAME: string | undefined
  readonly WALG_DELTA_FROM_USER_DATA: string | undefined
  readonly WALG_USE_WAL_DELTA: boolean
  readonly WALG_FORCE_WAL_DELTA: boolean
  readonly WALG_CHANGED_BLOCKS: 'auto' | 'summaries' | 'wal' | 'scan'
  readonly WALG_SENTINEL_USER_DATA: string | undefined
  readonly WALG_FETCH_TARGET_USER_DATA: string | undefined
  readonly WALG_VERIFY_PAGE_CHECKSUMS: boolean
  readonly WALG_STORE_ALL_CORRUPT_BLOCKS: boolean
  readonly WALG_FAIL_ON_CORRUPT: boolean
  readonly WALG_WITHOUT_FILES_METADATA: boolean
  readonly WALG_USE_RATING_COMPOSER: boolean
  readonly WALG_USE_DATABASE_COMPOSER: boolean
  readonly WALG_USE_COPY_COMPOSER: boolean
  readonly WALG_USE_REVERSE_UNPACK: boolean
  readonly WALG_SKIP_REDUNDANT_TARS: boolean
  readonly WALG_DISABLE_PARTIAL_RESTORE: boolean
  /** Milliseconds; 0 = no check. */
  readonly WALG_ALIVE_CHECK_INTERVAL: number
  /** Milliseconds; 0 = no limit. */
  readonly WALG_STOP_BACKUP_TIMEOUT: number
  readonly WALG_PRIMARY_CONNINFO: string | undefined
  readonly WALG_BACKUP_MANIFEST_CHECKSUMS: 'none' | 'crc32c' | 'sha256'
  readonly WALG_PREVENT_WAL_OVERWRITE: boolean
  readonly WALG_REQUIRE_SYSTEM_IDENTIFIER: boolean
  readonly WALG_UPLOAD_WAL_METADATA: 'NOMETADATA' | 'INDIVIDUAL' | 'BULK'
  readonly TOTAL_BG_UPLOADED_LIMIT: number
  readonly PG_READY_RENAME: boolean
  readonly WALG_PREFETCH_DIR: string | undefined
  readonly WALG_FETCH_ERROR_EXIT_CODE: number | undefined
  /** Milliseconds. */
  readonly WALG_GARBAGE_MIN_AGE: number
  readonly WALG_INTEGRITY_MAX_DELAYED_WALS: number
  readonly WALG_VERIFY_EXIT_CODE: boolean
}

export const operationSettings: SettingsTableOf<OperationSettings> = {
  ...policySettings,
  WALG_DOWNLOAD_CONCURRENCY: {
    parse: concurrency(1024),
    default: 10,
    doc: 'Objects that backup-fetch reads at a time, and segments that wal-fetch reads ahead; 1 turns reading ahead off. More than 1024 count as 1024.',
  },
  WALG_DOWNLOAD_FILE_RETRIES: {
    parse: wholeNumber({ max: 1000 }),
    default: 15,
    doc: 'How often backup-fetch tries an object again.',
  },
  WALG_UPLOAD_CONCURRENCY: {
    parse: concurrency(1024),
    default: 16,
    doc: 'Segments that wal-push sends at a time, the asked one included. More than 1024 count as 1024.',
  },
  WALG_UPLOAD_DISK_CONCURRENCY: {
    parse: concurrency(256),
    defaultText: '2, or a quarter of the CPUs, at most 8',
    doc: 'Parts that backup-push packs at a time. `--turbo` makes it 4. More than 256 count as 256.',
  },
  WALG_DISK_RATE_LIMIT: {
    parse: byteSize(1),
    doc: 'Bytes per second that backup-push reads from disk, all parts together. `--turbo` lifts it.',
  },
  WALG_TAR_SIZE_THRESHOLD: {
    parse: byteSize(1),
    default: 1_073_741_823,
    doc: 'Size in bytes, before compression, at which a part of a backup ends.',
  },
  WALG_TAR_DISABLE_FSYNC: {
    parse: boolean,
    default: false,
    doc: 'backup-fetch does not flush what it wrote to disk.',
  },
  WALG_DELTA_MAX_STEPS: {
    parse: wholeNumber({ max: 1_000_000 }),
    default: 0,
    doc: 'Longest chain of delta backups; 0 = only full ones.',
  },
  WALG_DELTA_ORIGIN: {
    parse: oneOf('LATEST', 'LATEST_FULL'),
    default: 'LATEST',
    doc: 'Parent of a delta backup: the newest backup, or the full one of its chain.',
  },
  WALG_DELTA_MAX_RATIO: {
    parse: share,
    defaultText: 'off',
    doc: 'A delta that would be larger than this share of a full backup, from 0 to 1, is taken as a full one. Decided before anything is copied: exactly with a block map, else by a sample of pages.',
  },
  WALG_DELTA_FROM_NAME: { parse: text, doc: 'Parent of a delta backup, by name.' },
  WALG_DELTA_FROM_USER_DATA: { parse: jsonText, doc: 'Parent of a delta backup, by its user data.' },
  WALG_USE_WAL_DELTA: {
    parse: boolean,
    default: false,
    doc: 'wal-push notes which blocks the WAL changes (`_delta` objects), and delta backups read only those, found through the objects and the WAL.',
  },
  WALG_FORCE_WAL_DELTA: {
    parse: boolean,
    default: false,
    doc: 'A delta backup fails when its changed blocks can only be found by reading every page of changed files.',
  },
  WALG_CHANGED_BLOCKS: {
    parse: oneOf('auto', 'summaries', 'wal', 'scan'),
    default: 'auto',
    doc: 'How a delta backup finds changed blocks: WAL summaries of PostgreSQL 17 and later, the WAL, or a scan of changed files; `auto` takes the first that can answer, the WAL only with `WALG_USE_WAL_DELTA`.',
  },
  WALG_SENTINEL_USER_DATA: { parse: jsonText, doc: 'JSON to keep with every backup, exactly as given.' },
  WALG_FETCH_TARGET_USER_DATA: {
    parse: jsonText,
    doc: 'backup-fetch takes the backup with these user data, instead of a name.',
  },
  WALG_VERIFY_PAGE_CHECKSUMS: {
    parse: boolean,
    default: false,
    doc: 'backup-push verifies page checksums while it reads.',
  },
  WALG_STORE_ALL_CORRUPT_BLOCKS: {
    parse: boolean,
    default: false,
    doc: 'Record the number of every corrupt page, not only of the first 10 of a file.',
  },
  WALG_FAIL_ON_CORRUPT: {
    parse: boolean,
    default: false,
    doc: 'Verify page checksums, and let corrupt pages fail the backup instead of recording them with it.',
  },
  WALG_WITHOUT_FILES_METADATA: {
    parse: boolean,
    default: false,
    doc: 'Keep no list of files with the backup; such a backup cannot be the parent of a delta.',
  },
  WALG_USE_RATING_COMPOSER: {
    parse: boolean,
    default: false,
    doc: 'Pack files into parts by update frequency.',
  },
  WALG_USE_DATABASE_COMPOSER: {
    parse: boolean,
    default: false,
    doc: 'Pack files into parts by database.',
  },
  WALG_USE_COPY_COMPOSER: {
    parse: boolean,
    default: false,
    doc: 'Copy parts of the previous full backup, inside the storage, when nothing in them has changed.',
  },
  WALG_USE_REVERSE_UNPACK: {
    parse: boolean,
    default: false,
    doc: 'Unpack delta chains from the newest to the oldest.',
  },
  WALG_SKIP_REDUNDANT_TARS: {
    parse: boolean,
    default: false,
    doc: 'With reverse unpacking, skip parts that hold nothing of use.',
  },
  WALG_DISABLE_PARTIAL_RESTORE: {
    parse: boolean,
    default: false,
    doc: 'backup-push does not record which file belongs to which table.',
  },
  WALG_ALIVE_CHECK_INTERVAL: {
    parse: duration(),
    default: 60_000,
    defaultText: '1m',
    doc: 'How often backup-push asks whether the server is still there; 0 = never.',
  },
  WALG_STOP_BACKUP_TIMEOUT: {
    parse: duration(),
    default: 0,
    doc: 'Longest wait for the end of a backup on the server, its WAL included; 0 = no limit.',
  },
  WALG_PRIMARY_CONNINFO: {
    parse: text,
    secret: true,
    doc: 'How backup-push on a standby reaches the primary (`host=db1 port=5432` or `postgresql://db1:5432`), to make it end the WAL segment in which the backup ends, to wait until that is archived, and to keep backups of the primary away meanwhile. What it leaves out is taken from the PG settings.',
  },
  WALG_BACKUP_MANIFEST_CHECKSUMS: {
    parse: oneOf('none', 'crc32c', 'sha256'),
    default: 'none',
    doc: 'Checksums in the `backup_manifest` that backup-fetch writes for pg_verifybackup: without them it compares names and sizes only. crc32c costs about 0.35 and sha256 about 0.5 CPU seconds per GB.',
  },
  WALG_PREVENT_WAL_OVERWRITE: {
    parse: boolean,
    default: true,
    doc: 'wal-push refuses to replace an archived file by different content. `false` allows it, except for `.history` files, and lets wal-push archive into a storage that denies it to list or read. (The original: false.)',
  },
  WALG_REQUIRE_SYSTEM_IDENTIFIER: {
    parse: boolean,
    default: false,
    doc: 'wal-push refuses a segment of another cluster than the one whose WAL is in the archive; otherwise it warns.',
  },
  WALG_UPLOAD_WAL_METADATA: {
    parse: oneOf('NOMETADATA', 'INDIVIDUAL', 'BULK'),
    default: 'NOMETADATA',
    doc: 'Times of WAL segments as JSON objects: none, one each, or one for 16 segments.',
  },
  TOTAL_BG_UPLOADED_LIMIT: {
    parse: wholeNumber({ max: 100_000 }),
    default: 32,
    doc: 'Segments that one wal-push sends at most, the asked one included.',
  },
  PG_READY_RENAME: {
    parse: boolean,
    default: false,
    doc: 'wal-push renames the `.ready` files of the following segments it has sent to `.done`.',
  },
  WALG_PREFETCH_DIR: {
    parse: text,
    defaultText: 'the directory of the destination',
    doc: 'Directory in which wal-fetch keeps segments read ahead, as `.wal-g/prefetch`.',
  },
  WALG_FETCH_ERROR_EXIT_CODE: {
    parse: wholeNumber({ min: 1, max: 255 }),
    defaultText: '126 in recovery with recovery.signal only, else 1',
    doc: 'Exit status of wal-fetch for every failure other than "not in the archive" (74). PostgreSQL stops on a status above 125 and takes any other for the end of WAL.',
  },
  WALG_GARBAGE_MIN_AGE: {
    parse: duration(),
    default: 24 * 60 * 60 * 1000,
    defaultText: '`24h`',
    doc: 'delete leaves a backup folder without a sentinel alone until its newest object is as old as this: it may belong to a push under way.',
  },
  WALG_INTEGRITY_MAX_DELAYED_WALS: {
    parse: wholeNumber({ max: 1_000_000 }),
    default: 0,
    doc: 'Newest segments that wal-verify reports as delayed instead of lost when they are missing.',
  },
  WALG_VERIFY_EXIT_CODE: {
    parse: boolean,
    default: false,
    doc: 'wal-verify ends with status 3 for WARNING and 4 for FAILURE, as with `--exit-code`.',
  },
}

/** Of later pieces, by themselves without effect on what is stored. */
export const laterOperationSettings: SettingsTable = {
  WALG_UPLOAD_QUEUE: ignored('Parts waiting for upload.', 'parts are sent while they are packed'),
  WALG_DIRECT_IO: ignored('Read past the page cache.', 'a later piece'),
  WALG_DIRECT_IO_BLOCK_COUNT: ignored('Blocks in one such read.', 'a later piece'),
  WALG_SLOTNAME: ignored('Replication slot of wal-receive.', 'wal-receive is a later piece'),
  PGBACKREST_STANZA: ignored('Stanza of a pgBackRest repository.', 'pgbackrest is a later piece'),
}

function ignored(doc: string, why: string): SettingsTable[string] {
  return { parse: text, doc, ignored: why }
}
