import { expandGlob } from '../../../operations/storage-tools/glob.ts'
import { openObject } from '../../../operations/storage-tools/object-transfer.ts'
import { normalizePrefix } from '../../../storage/keys.ts'
import type { CommandDefinition } from '../../command.ts'
import { explained } from './explained.ts'
import { onTargets } from './targets.ts'

export const catCommand: CommandDefinition = {
  name: 'cat',
  usage: 'cat relative_object_path',
  summary: 'Cat the specified storage object to STDOUT',
  positionals: { kind: 'exact', count: 1 },
  flags: [
    { name: 'decompress', type: 'boolean', doc: 'decompress the object' },
    { name: 'decrypt', type: 'boolean', doc: 'decrypt the object' },
  ],
  needsStorage: true,
  run: invocation =>
    onTargets(invocation, async ({ storage }) => {
      const { flags, signal, log, print, positionals } = invocation
      const path = positionals[0] ?? ''
      const isGlob = flags['glob'] === true
      const keys = isGlob ? (await expandGlob(storage, path, { signal })).objects : [normalizePrefix(path)]
      for (const key of keys) {
        await explained('download the file', async () => {
          const body = await openObject(storage, key, {
            isDecrypted: flags['decrypt'] === true,
            isDecompressed: flags['decompress'] === true,
            codec: invocation.codecDescription,
            log,
            signal,
          })
          for await (const chunk of body) await print(chunk)
        })
      }
    }),
}
