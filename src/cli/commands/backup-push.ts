import { openCodec } from '../../codec/open-codec.ts'
import { WalgError } from '../../kit/errors.ts'
import { checkPortableJson } from '../../kit/json.ts'
import { MIB } from '../../kit/sizes.ts'
import type { Composer } from '../../operations/backup-push/composer.ts'
import type { DeltaOptions } from '../../operations/backup-push/delta/options.ts'
import type { BackupPushOptions } from '../../operations/backup-push/options.ts'
import type { ConnectionSettings } from '../../postgres/cluster/cluster.ts'
import { parseConnectionString } from '../../postgres/cluster/connection-string.ts'
import { TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, FlagDefinition, Invocation } from '../command.ts'
import { checkExact } from '../configuration/exact-text.ts'
import { connectionOf } from '../connection.ts'
import { withOpened } from '../opened-storages.ts'
import type { Settings } from '../settings.ts'
import { applyPolicy, readPolicy } from './delete-policy.ts'

const FLAGS: readonly FlagDefinition[] = [
  { name: 'permanent', short: 'p', type: 'boolean', doc: 'Pushes permanent backup' },
  { name: 'full', short: 'f', type: 'boolean', doc: 'Make full backup-push' },
  { name: 'verify', short: 'v', type: 'boolean', doc: 'Verify page checksums' },
  {
    name: 'store-all-corrupt',
    short: 's',
    type: 'boolean',
    doc: 'Store all corrupt blocks found during page checksum verification',
  },
  {
    name: 'rating-composer',
    short: 'r',
    type: 'boolean',
    doc: 'Use rating tar composer (beta)',
  },
  {
    name: 'copy-composer',
    short: 'c',
    type: 'boolean',
    doc: 'Use copy tar composer (beta)',
  },
  {
    name: 'database-composer',
    short: 'b',
    type: 'boolean',
    doc: 'Use database tar composer (experimental)',
  },
  {
    name: 'delta-from-name',
    type: 'string',
    doc: 'Select the backup specified by name as the target for the delta backup',
  },
  {
    name: 'delta-from-user-data',
    type: 'string',
    doc: 'Select the backup specified by UserData as the target for the delta backup',
  },
  {
    name: 'add-user-data',
    type: 'string',
    doc: 'Write the provided user data to the backup sentinel and metadata files.',
  },
  {
    name: 'without-files-metadata',
    type: 'boolean',
    doc: 'Do not track files metadata, significantly reducing memory usage',
  },
  {
    name: 'apply-policy',
    type: 'boolean',
    doc: 'When the backup is complete, delete what the retention policy does not keep',
  },
  TARGET_STORAGE_FLAG,
]

export const command: CommandDefinition = {
  name: 'backup-push',
  usage: 'backup-push db_directory',
  summary: 'Makes backup and uploads it to storage',
  positionals: { kind: 'range', min: 0, max: 1 },
  flags: FLAGS,
  needsStorage: true,
  async run(invocation: Invocation): Promise<number> {
    // empty, as from a variable that is not set: as if it were not given
    const dataDirectory = invocation.positionals[0] || undefined
    const { flags, settings } = invocation
    const options = await readPushOptions(invocation, dataDirectory ?? '')
    if (dataDirectory === undefined) warnOfLocalFlags(invocation)
    const policy =
      flags['apply-policy'] === true ? readPolicy({ flags: {}, positionals: [] }, settings) : null
    await withOpened(await invocation.openForPush(), async push => {
      const { storage, storageDescription } = push
      // A backup must not be seen on a mirror before what it builds upon.
      await push.fillMirrors(false)
      const codec = openCodec(invocation.codecDescription)
      const context = { ...invocation, storage, storageDescription, codec }
      if (dataDirectory === undefined) {
        const { remoteBackupPush } = await import('../../operations/backup-push/remote/remote-backup-push.ts')
        await remoteBackupPush(context, options)
      } else {
        const { backupPush } = await import('../../operations/backup-push/backup-push.ts')
        await backupPush(context, options)
      }
    })
    if (policy !== null) await applyPolicy(invocation, policy)
    return 0
  },
}

/** What flags and settings ask for. */
export async function readPushOptions(
  invocation: Invocation,
  dataDirectory: string,
): Promise<BackupPushOptions> {
  const { flags, settings } = invocation
  const failsOnCorrupt = settings.WALG_FAIL_ON_CORRUPT
  const { defaultPartsAtOnce } = await import('../../operations/backup-push/parts-at-once.ts')
  return {
    dataDirectory,
    connection: connectionOf(invocation.settings),
    primary: primaryOf(settings),
    isPermanent: flags['permanent'] === true,
    userData: userDataOf(invocation),
    delta: deltaOptions(invocation),
    composer: composerOf(invocation),
    // who wants no backup of damaged pages wants them looked for
    isVerifying: flags['verify'] === true || settings.WALG_VERIFY_PAGE_CHECKSUMS || failsOnCorrupt,
    failsOnCorrupt,
    storesAllCorrupt: flags['store-all-corrupt'] === true || settings.WALG_STORE_ALL_CORRUPT_BLOCKS,
    hasFilesMetadata: flags['without-files-metadata'] !== true && !settings.WALG_WITHOUT_FILES_METADATA,
    hasDatabaseNames: !settings.WALG_DISABLE_PARTIAL_RESTORE,
    partBytesMax: settings.WALG_TAR_SIZE_THRESHOLD,
    partsAtOnce: settings.WALG_UPLOAD_DISK_CONCURRENCY ?? defaultPartsAtOnce(),
    diskBytesPerSecond: settings.WALG_DISK_RATE_LIMIT,
    walSegmentBytes: settings.WALG_PG_WAL_SIZE * MIB,
    pageBytes: settings.WALG_PG_BLOCK_SIZE,
    aliveCheckMs: settings.WALG_ALIVE_CHECK_INTERVAL,
    stopTimeoutMs: settings.WALG_STOP_BACKUP_TIMEOUT,
  }
}

const LOCAL_FLAGS: readonly string[] = [
  'delta-from-name',
  'delta-from-user-data',
  'rating-composer',
  'copy-composer',
  'database-composer',
]

/** Settings may be meant for other backups of the same host; a flag is meant for this one. */
function warnOfLocalFlags({ flags, log }: Invocation): void {
  for (const name of LOCAL_FLAGS) {
    if (flags[name] === undefined || flags[name] === false || flags[name] === '') continue
    log.warning(
      `--${name} has no effect without a data directory: a backup over the replication protocol is a full one`,
    )
  }
}

/** Of several the last in the order rating, database, copy. */
function composerOf({ flags, settings }: Invocation): Composer {
  const isCopy = flags['copy-composer'] === true || settings.WALG_USE_COPY_COMPOSER
  const isDatabase = flags['database-composer'] === true || settings.WALG_USE_DATABASE_COMPOSER
  const isRating = flags['rating-composer'] === true || settings.WALG_USE_RATING_COMPOSER
  if (!isCopy && !isDatabase && !isRating) return 'regular'
  if (flags['without-files-metadata'] === true || settings.WALG_WITHOUT_FILES_METADATA) {
    throw new WalgError('USAGE', 'a backup without files metadata can only be made by the regular composer', {
      hint: 'leave out --without-files-metadata or the composer',
    })
  }
  if (isCopy) return 'copy'
  return isDatabase ? 'database' : 'rating'
}

/** What the connection string leaves out (role, password file, TLS) is as for the server itself. */
function primaryOf(settings: Settings): ConnectionSettings | undefined {
  const text = settings.WALG_PRIMARY_CONNINFO
  if (text === undefined || text.trim() === '') return undefined
  const { PGHOST: _, PGHOSTADDR: __, PGPORT: ___, PGSERVICE: ____, ...rest } = connectionOf(settings)
  return { ...rest, ...parseConnectionString(text, 'WALG_PRIMARY_CONNINFO') }
}

function userDataOf({ flags, settings, configuration }: Invocation): string | null {
  const flag = flags['add-user-data']
  const text = typeof flag === 'string' && flag !== '' ? flag : settings.WALG_SENTINEL_USER_DATA
  if (text === undefined || text === '') return null
  checkExact(text, 'the user data', configuration.file)
  try {
    checkPortableJson(text)
  } catch (error) {
    throw new WalgError('USAGE', `Failed to unmarshal the provided UserData: it is not JSON: ${text}`, {
      cause: error,
      hint: `quote a text inside the shell's quotes: --add-user-data '"my text"'`,
    })
  }
  return text
}

/** Flags go before settings; a backup without a list of files is always a full one. */
function deltaOptions({ flags, settings }: Invocation): DeltaOptions {
  const fromName = given(flags['delta-from-name']) ?? given(settings.WALG_DELTA_FROM_NAME)
  const fromUserData = given(flags['delta-from-user-data']) ?? given(settings.WALG_DELTA_FROM_USER_DATA)
  if (fromName !== undefined && fromUserData !== undefined) {
    throw new WalgError('USAGE', 'only one delta target should be specified', {
      hint: 'give the parent by its name or by its user data',
    })
  }
  const hasNoFiles = flags['without-files-metadata'] === true || settings.WALG_WITHOUT_FILES_METADATA
  if (hasNoFiles && (fromName !== undefined || fromUserData !== undefined)) {
    throw new WalgError('USAGE', 'a backup without files metadata cannot be a delta', {
      hint: 'leave out --without-files-metadata or the parent',
    })
  }
  return {
    stepsMax: settings.WALG_DELTA_MAX_STEPS,
    origin: settings.WALG_DELTA_ORIGIN,
    fromName,
    fromUserData,
    isFull: flags['full'] === true || hasNoFiles,
    ratioMax: settings.WALG_DELTA_MAX_RATIO,
    changes: {
      method: settings.WALG_CHANGED_BLOCKS,
      usesWal: settings.WALG_USE_WAL_DELTA,
      isForced: settings.WALG_FORCE_WAL_DELTA,
      walSegmentBytes: settings.WALG_PG_WAL_SIZE * MIB,
      walPageBytes: settings.WALG_PG_WAL_PAGE_SIZE,
      pageBytes: settings.WALG_PG_BLOCK_SIZE,
    },
  }
}

function given(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
