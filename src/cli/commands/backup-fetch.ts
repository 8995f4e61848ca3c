import { readFile } from 'node:fs/promises'
import { openCodec } from '../../codec/open-codec.ts'
import { fromSystemError, hasCode, WalgError } from '../../kit/errors.ts'
import { backupFetch } from '../../operations/backup-fetch/backup-fetch.ts'
import { type BackupSelection, selectionOf } from '../../repository/selector.ts'
import {
  parseTablespaceMappings,
  parseTablespaceSpec,
  type TablespaceMapping,
  type TablespaceSpec,
} from '../../repository/tablespace-spec.ts'
import { TABLESPACE_MAPPING_FLAG, TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { withOpened } from '../opened-storages.ts'

export const command: CommandDefinition = {
  name: 'backup-fetch',
  usage: 'backup-fetch destination_directory [backup_name | --target-user-data <data>]',
  summary: 'Fetches a backup from storage',
  positionals: { kind: 'range', min: 1, max: 2 },
  flags: [
    {
      name: 'ignore-content-manifest',
      type: 'boolean',
      doc: 'Restores a backup whose content manifest is missing or damaged, without comparing hashes',
    },
    {
      name: 'mask',
      type: 'string',
      doc: 'Fetches only files which path relative to destination_directory\nmatches given shell file pattern.\nFor information about pattern syntax view: https://golang.org/pkg/path/filepath/#Match',
    },
    {
      name: 'restore-only',
      type: 'strings',
      doc: `[Experimental] Downloads only databases or tables specified by passed names.
Separate parameters with comma. Use 'database' or 'database/namespace.table' as a parameter ('public' namespace can be omitted).  
Sets reverse delta unpack & skip redundant tars options automatically. Always downloads system databases and tables.`,
    },
    {
      name: 'restore-spec',
      type: 'string',
      doc: 'Path to file containing tablespace restore specification',
    },
    {
      name: 'resume',
      type: 'boolean',
      doc: 'Goes on with an interrupted fetch: parts that are complete and verified are not read again',
    },
    { name: 'reverse-unpack', type: 'boolean', doc: 'Accepted; the result is that of the forward restore' },
    {
      name: 'skip-redundant-tars',
      type: 'boolean',
      doc: 'Accepted; the result is that of the forward restore',
    },
    TABLESPACE_MAPPING_FLAG,
    TARGET_STORAGE_FLAG,
    {
      name: 'target-user-data',
      type: 'string',
      doc: 'Fetch storage backup which has the specified user data',
    },
  ],
  needsStorage: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const { flags, settings, log } = invocation
    const selection = selectionFrom(invocation)
    const isReverse = flags['reverse-unpack'] === true || settings.WALG_USE_REVERSE_UNPACK
    if (isReverse || flags['skip-redundant-tars'] === true || settings.WALG_SKIP_REDUNDANT_TARS) {
      log.info('Every chain is restored newest backup first, and gives the files of a forward restore')
    }
    const restoreSpec = await readRestoreSpec(flags['restore-spec'])
    const tablespaceMapping = readTablespaceMapping(flags, restoreSpec)
    await withOpened(await invocation.openForFetch(), ({ first, others }) => {
      const { storage, description: storageDescription } = first
      const codec = openCodec(invocation.codecDescription)
      return backupFetch(
        { ...invocation, storage, storageDescription, codec },
        {
          otherStorages: others,
          destination: invocation.positionals[0]!,
          selection,
          mask: String(flags['mask'] ?? ''),
          restoreOnly: restoreOnlyFrom(flags['restore-only']),
          restoreSpec,
          tablespaceMapping,
          isResume: flags['resume'] === true,
          concurrencyMax: settings.WALG_DOWNLOAD_CONCURRENCY,
          retriesMax: settings.WALG_DOWNLOAD_FILE_RETRIES,
          isDurable: !settings.WALG_TAR_DISABLE_FSYNC,
          checksums: settings.WALG_BACKUP_MANIFEST_CHECKSUMS,
          pageBytes: settings.WALG_PG_BLOCK_SIZE,
          ignoresContentManifest: flags['ignore-content-manifest'] === true,
        },
      )
    })
    return 0
  },
}

/** A name or user data: exactly one of them. */
function selectionFrom({ positionals, flags, settings }: Invocation): BackupSelection {
  const name = positionals[1]
  const given = flags['target-user-data']
  const userData = given === undefined || given === '' ? settings.WALG_FETCH_TARGET_USER_DATA : String(given)
  if (name !== undefined && userData !== undefined) {
    throw new WalgError(
      'USAGE',
      'incorrect arguments. Specify target backup name OR target userdata, not both',
      { hint: 'the user data may come from the setting WALG_FETCH_TARGET_USER_DATA' },
    )
  }
  if (name !== undefined) return selectionOf(name)
  if (userData !== undefined) return { kind: 'user-data', json: userData }
  throw new WalgError('USAGE', 'insufficient arguments', {
    hint: 'name a backup, say LATEST, or give --target-user-data',
  })
}

async function readRestoreSpec(file: Invocation['flags'][string]): Promise<TablespaceSpec | null> {
  if (file === undefined || file === '') return null
  const name = String(file)
  let text: string
  try {
    text = await readFile(name, 'utf8')
  } catch (error) {
    throw fromSystemError(error, 'read', name)
  }
  try {
    return parseTablespaceSpec(text) ?? { basePrefix: '/', tablespaces: [] }
  } catch (error) {
    if (!hasCode(error, 'FORMAT_INVALID')) throw error
    throw new WalgError('USAGE', `the restore spec "${name}" cannot be used: ${error.message}`, {
      cause: error,
      hint: 'it looks like {"base_prefix":"/data","tablespaces":["16400"],"16400":{"loc":"/ts","link":"pg_tblspc/16400"}}',
    })
  }
}

function restoreOnlyFrom(items: Invocation['flags'][string]): readonly string[] {
  if (!Array.isArray(items)) return []
  const names = (items as readonly string[]).filter(item => item.trim() !== '')
  if (names.length > 0) return names
  throw new WalgError('USAGE', '--restore-only names nothing', {
    hint: "write --restore-only 'database/schema.table', or leave it out to restore everything",
  })
}

/** Either one by one or all at once. */
function readTablespaceMapping(
  flags: Invocation['flags'],
  restoreSpec: TablespaceSpec | null,
): readonly TablespaceMapping[] {
  const mappings = parseTablespaceMappings(flags['tablespace-mapping'] as readonly string[] | undefined)
  if (mappings.length > 0 && restoreSpec !== null) {
    throw new WalgError('USAGE', '--tablespace-mapping and --restore-spec cannot be given together')
  }
  return mappings
}
