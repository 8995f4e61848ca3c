import { MIB } from '../../kit/sizes.ts'
import { type CopyOptions, copyRepository } from '../../operations/copy/copy.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { type ConfigStorage, readConfigCodec, readConfigStorages } from '../configuration/config-storage.ts'

export const command: CommandDefinition = {
  name: 'copy',
  usage: 'copy',
  summary: 'copy specific or all backups',
  long: 'Copy backup(s) from one storage to another without transforming payloads',
  positionals: { kind: 'exact', count: 0 },
  flags: [
    { name: 'backup-name', short: 'b', type: 'string', doc: 'Copy specific backup' },
    {
      name: 'from',
      short: 'f',
      type: 'string',
      isRequired: true,
      doc: 'Storage config from where should copy backup',
    },
    {
      name: 're-encrypt',
      type: 'boolean',
      doc: "Open every object and seal it with the target's key and compression",
    },
    {
      name: 'to',
      short: 't',
      type: 'string',
      isRequired: true,
      doc: 'Storage config to where should copy backup',
    },
    {
      name: 'with-history',
      short: 'w',
      type: 'boolean',
      doc: 'Synchronize WAL from the backup recovery point through the latest continuous archive',
    },
  ],
  needsStorage: false,
  async run(invocation: Invocation): Promise<number> {
    const { flags, log, progress, signal } = invocation
    const paths = { from: String(flags['from'] ?? ''), to: String(flags['to'] ?? '') }
    const { from, to } = await readConfigStorages(invocation, paths)
    const backup = flags['backup-name']
    const reseal = flags['re-encrypt'] === true ? await codecsOf({ from, to }, paths) : undefined
    const source = await invocation.openStorage({ description: from.storage })
    const target = await invocation.openStorage({ description: to.storage })
    await copyRepository(
      { source, target, log, progress, signal },
      {
        backup: typeof backup === 'string' && backup !== '' ? backup : undefined,
        withHistory: flags['with-history'] === true,
        segmentBytes: segmentBytesOf(invocation, from),
        ...(reseal === undefined ? {} : { reseal }),
      },
    )
    return 0
  },
}

async function codecsOf(
  { from, to }: { readonly from: ConfigStorage; readonly to: ConfigStorage },
  paths: { readonly from: string; readonly to: string },
): Promise<NonNullable<CopyOptions['reseal']>> {
  return {
    sourceCodec: await readConfigCodec(from, paths.from, true),
    targetCodec: await readConfigCodec(to, paths.to, false),
  }
}

/** Of the source's config file, or of this process. */
function segmentBytesOf({ settings, texts }: Invocation, from: ConfigStorage): number {
  const isOwn = texts.find(['WALG_PG_WAL_SIZE']) !== undefined
  return (isOwn ? settings : from.settings).WALG_PG_WAL_SIZE * MIB
}
