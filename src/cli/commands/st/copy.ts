import type { CodecDescription } from '../../../codec/codec.ts'
import { copyObjectsByPrefix } from '../../../operations/storage-tools/copy-objects.ts'
import type { CommandDefinition, Invocation } from '../../command.ts'
import {
  type ConfigStorage,
  readConfigCodec,
  readConfigStorages,
} from '../../configuration/config-storage.ts'

export const stCopyCommand: CommandDefinition = {
  name: 'copy',
  usage: 'copy',
  summary: 'Copy objects from one storage to another',
  positionals: { kind: 'exact', count: 0 },
  flags: [
    { name: 'decrypt-source', short: 'd', type: 'boolean', doc: 'Decrypt file from source storage' },
    { name: 'encrypt-source', short: 'e', type: 'boolean', doc: 'Encypt file in target storage' },
    { name: 'from', type: 'string', doc: 'Storage config from where should copy objects' },
    {
      name: 'prefix',
      short: 'p',
      type: 'string',
      placeholder: 'from',
      doc: 'Prefix-filter path in from storage.',
    },
    { name: 'to', type: 'string', doc: 'Storage config to where should copy objects' },
  ],
  needsStorage: false,
  async run(invocation: Invocation): Promise<number> {
    const { flags, log, progress, signal } = invocation
    const paths = { from: String(flags['from'] ?? ''), to: String(flags['to'] ?? '') }
    const { from, to } = await readConfigStorages(invocation, paths)
    const isDecrypted = flags['decrypt-source'] === true
    const isEncrypted = flags['encrypt-source'] === true
    const decryptedBy = isDecrypted ? await codecFor(invocation, from, paths.from, true) : undefined
    const encryptedBy = isEncrypted ? await codecFor(invocation, to, paths.to, false) : undefined
    const source = await invocation.openStorage({ description: from.storage })
    const target = await invocation.openStorage({ description: to.storage })
    const prefix = String(flags['prefix'] ?? '')
    await copyObjectsByPrefix({ source, target, log, progress, signal }, { prefix, decryptedBy, encryptedBy })
    return 0
  },
}

/** The keys of the config file, else those of this process, as in the original. */
async function codecFor(
  invocation: Invocation,
  config: ConfigStorage,
  path: string,
  isForReading: boolean,
): Promise<CodecDescription> {
  const own = await readConfigCodec(config, path, isForReading)
  return own.encryption === undefined ? invocation.codecDescription : own
}
