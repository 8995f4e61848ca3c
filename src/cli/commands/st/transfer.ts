import { WalgError } from '../../../kit/errors.ts'
import type { TransferContext, TransferOptions } from '../../../operations/transfer/move-objects.ts'
import { transferBackups } from '../../../operations/transfer/transfer-backups.ts'
import { transferFiles } from '../../../operations/transfer/transfer-files.ts'
import { openTransferNote, type TransferNote } from '../../../operations/transfer/transfer-note.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import type { StorageDescription } from '../../../storage/description.ts'
import { normalizePrefix } from '../../../storage/keys.ts'
import { storageIdentity } from '../../../storage/storage-identity.ts'
import type { CommandDefinition, FlagDefinition, Invocation } from '../../command.ts'
import { stateFolder } from '../../configuration/state-folder.ts'
import { ALL_TARGETS, targetName } from './targets.ts'

const UNLIMITED = '9223372036854775807'
const USAGE_TAIL = "--source='source_storage' [--target='target_storage']"

const FLAGS: readonly FlagDefinition[] = [
  {
    name: 'appearance-checks',
    type: 'uint',
    doc: 'number of times to check if a file is appeared for reading in the target storage after writing it. Value 0 turns checking off (default 3)',
  },
  {
    name: 'appearance-checks-interval',
    type: 'duration',
    doc: 'minimum time interval between performing checks for files to appear in the target storage (default 1s)',
  },
  {
    name: 'concurrency',
    short: 'c',
    type: 'number',
    doc: 'number of concurrent workers to move files. Value 1 turns concurrency off (default 10)',
  },
  {
    name: 'fail-fast',
    type: 'boolean',
    doc: 'if this flag is set, any error occurred with transferring a separate file will lead the whole command to stop immediately',
  },
  {
    name: 'max-files',
    short: 'm',
    type: 'uint',
    doc: `max number of files to move in this run (default ${UNLIMITED})`,
  },
  {
    name: 'overwrite',
    short: 'o',
    type: 'boolean',
    doc: 'whether to overwrite already existing files in the target storage and remove them from the source one',
  },
  {
    name: 'preserve',
    short: 'p',
    type: 'boolean',
    doc: 'whether to preserve files in the source storage and just copy them to the target one',
  },
  {
    name: 'source',
    short: 's',
    type: 'string',
    doc: "storage name to move files from. Use 'default' to select the primary storage",
  },
]

const BACKUPS: CommandDefinition = {
  name: 'backups',
  usage: `backups [backup_name] ${USAGE_TAIL}`,
  summary: 'Moves all backups from one storage to another',
  positionals: { kind: 'range', min: 0, max: 1, isSaidInFull: true },
  flags: [
    {
      name: 'max-backups',
      type: 'uint',
      doc: `max number of backups to move in this run. Is ignored if backup_name is specified (default ${UNLIMITED})`,
    },
  ],
  needsStorage: true,
  run: invocation =>
    betweenStorages(invocation, 'backups', (context, note, options) => {
      const [name] = invocation.positionals
      const backupsMax = numberFlag(invocation, 'max-backups', Number.MAX_SAFE_INTEGER)
      return transferBackups(context, note, { name, backupsMax }, options)
    }),
}

const FILES: CommandDefinition = {
  name: 'files',
  usage: `files prefix ${USAGE_TAIL}`,
  summary: 'Moves all files by a prefix from one storage to another without any special treatment',
  positionals: { kind: 'exact', count: 1 },
  flags: [],
  needsStorage: true,
  run: invocation =>
    betweenStorages(invocation, 'files', (context, note, options) =>
      transferFiles(context, note, normalizePrefix(invocation.positionals[0] ?? ''), options),
    ),
}

const PG_WALS: CommandDefinition = {
  name: 'pg-wals',
  usage: `pg-wals ${USAGE_TAIL}`,
  summary: 'Moves all PostgreSQL WAL files from one storage to another',
  positionals: { kind: 'exact', count: 0 },
  flags: [],
  needsStorage: true,
  run: invocation =>
    betweenStorages(invocation, 'files', (context, note, options) =>
      transferFiles(context, note, WAL_PREFIX, options),
    ),
}

export const transferCommand: CommandDefinition = {
  name: 'transfer',
  usage: 'transfer',
  summary: 'Moves objects from one storage to another (Postgres only)',
  long: "The command allows to move objects between storages. It's usually used to sync the primary storage with a failover, when it becomes alive. By default, objects that exist in both storages are neither overwritten in the target storage nor deleted from the source one. (Postgres only)",
  positionals: { kind: 'any' },
  flags: FLAGS,
  subcommands: [BACKUPS, FILES, PG_WALS],
  needsStorage: true,
  run: async () => 0,
}

async function betweenStorages(
  invocation: Invocation,
  kind: string,
  run: (context: TransferContext, note: TransferNote, options: TransferOptions) => Promise<void>,
): Promise<number> {
  const { log, signal } = invocation
  const options = readOptions(invocation)
  const from = find(invocation, String(invocation.flags['source']), 'source')
  const to = find(invocation, targetName(invocation), 'target')
  const source = await invocation.openStorage({ description: from })
  const target = await invocation.openStorage({ description: to })
  const { createHash } = await import('node:crypto')
  const pair = createHash('md5')
    .update(`${storageIdentity(from)}\n${storageIdentity(to)}`)
    .digest('hex')
  const note = openTransferNote(stateFolder('.walg_transfers'), `${kind}-${pair}`)
  await run({ source, target, log, signal }, note, options)
  return 0
}

function readOptions(invocation: Invocation): TransferOptions {
  const { flags } = invocation
  const target = targetName(invocation)
  const source = flags['source']
  const concurrency = numberFlag(invocation, 'concurrency', 10)
  if (source === undefined || source === '') throw invalid('source storage must be specified')
  if (source === ALL_TARGETS) throw invalid("an explicit source storage must be specified instead of 'all'")
  if (target === ALL_TARGETS) throw invalid("an explicit target storage must be specified instead of 'all'")
  if (source === target) throw invalid('source and target storages must be different')
  if (concurrency < 1) throw invalid('concurrency level must be >= 1 (which turns it off)')
  return {
    concurrency,
    isFailFast: flags['fail-fast'] === true,
    isOverwriting: flags['overwrite'] === true,
    isPreserving: flags['preserve'] === true,
    filesMax: numberFlag(invocation, 'max-files', Number.MAX_SAFE_INTEGER),
    appearanceChecks: numberFlag(invocation, 'appearance-checks', 3),
    appearanceChecksIntervalMs: numberFlag(invocation, 'appearance-checks-interval', 1000),
  }
}

function invalid(reason: string): WalgError {
  return new WalgError('SETTING_INVALID', `invalid flags: ${reason}`)
}

function numberFlag({ flags }: Invocation, name: string, fallback: number): number {
  const value = flags[name]
  return typeof value === 'number' ? value : fallback
}

function find({ storageDescriptions }: Invocation, name: string, role: string): StorageDescription {
  const found = storageDescriptions.find(description => description.name === name)
  if (found !== undefined) return found
  const available = storageDescriptions.map(description => description.name).join(' ')
  throw new WalgError(
    'SETTING_INVALID',
    `configure ${role} storage folder: storage with name "${name}" is not found, available storages: [${available}]`,
  )
}
