import { WalgError } from '../../../kit/errors.ts'
import { writeJson } from '../../../kit/json.ts'
import { normalizePrefix } from '../../../storage/keys.ts'
import type { CommandDefinition } from '../../command.ts'
import { formatItems, itemJson } from '../../render/storage-items.ts'
import { explained } from './explained.ts'
import { onTargets } from './targets.ts'

export const statCommand: CommandDefinition = {
  name: 'stat',
  usage: 'stat relative_object_path',
  summary: 'Prints metadata of the specified storage object',
  long: "Prints metadata of a single storage object in the same format as 'wal-g st ls'. The metadata is fetched with a single cheap request (HEAD/stat) instead of listing the folder.",
  positionals: { kind: 'exact', count: 1 },
  flags: [{ name: 'json', type: 'boolean', doc: 'Prints one JSON object instead of a table' }],
  needsStorage: true,
  run(invocation) {
    const { flags, signal, print, positionals } = invocation
    const [path = ''] = positionals
    if (flags['glob'] === true) {
      throw new WalgError(
        'SETTING_CONFLICT',
        "the --glob flag isn't supported by 'stat', because expanding a pattern requires listing",
      )
    }
    return onTargets(invocation, async ({ storage }) => {
      const info = await explained(`stat object "${path}"`, () =>
        storage.stat(normalizePrefix(path), { signal }),
      )
      const { sizeBytes, modifiedNs } = info
      const item = { kind: 'object', name: path, sizeBytes, modifiedNs } as const
      const isJson = flags['json'] === true
      await print(isJson ? `${writeJson(itemJson(item, storage.name))}\n` : formatItems([item]))
    })
  },
}
