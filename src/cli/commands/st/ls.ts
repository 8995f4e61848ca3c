import { writeJson } from '../../../kit/json.ts'
import { type ListedItem, listFolder } from '../../../operations/storage-tools/folder-listing.ts'
import { expandGlob } from '../../../operations/storage-tools/glob.ts'
import { keepsVersions, listFolderVersions } from '../../../operations/storage-tools/versions.ts'
import { normalizePrefix } from '../../../storage/keys.ts'
import type { CommandDefinition } from '../../command.ts'
import { formatItems, formatItemsJson, itemJson } from '../../render/storage-items.ts'
import { onTargets, type Target } from './targets.ts'

export const lsCommand: CommandDefinition = {
  name: 'ls',
  usage: 'ls [relative folder path]',
  summary: 'Prints objects in the provided storage folder',
  positionals: { kind: 'range', min: 0, max: 1, isSaidInFull: true },
  flags: [
    {
      name: 'all-versions',
      type: 'boolean',
      doc: 'Show all object versions including deleted (S3 with versioning)',
    },
    { name: 'json', type: 'boolean', doc: 'Prints one JSON array instead of a table' },
    { name: 'recursive', short: 'r', type: 'boolean', doc: 'List folder recursively' },
  ],
  needsStorage: true,
  run: invocation =>
    onTargets(invocation, async target => {
      const { flags, signal, print, positionals } = invocation
      const path = positionals[0] ?? ''
      const isJson = flags['json'] === true
      const options = { signal, isRecursive: flags['recursive'] === true }
      const isOfAllVersions =
        flags['all-versions'] === true && (await keepsVersions(target.storage, { signal }))
      const list = isOfAllVersions ? listFolderVersions : listFolder
      if (flags['glob'] !== true) {
        const folder = normalizePrefix(path)
        const items = await list(target.storage, folder, options)
        await print(
          isJson
            ? `${formatItemsJson(items, target.storage.name)}\n`
            : formatItems(asShown(target, folder, items)),
        )
        return
      }
      const { folders } = await expandGlob(target.storage, path, { signal })
      const found: { readonly folder: string; readonly items: readonly ListedItem[] }[] = []
      for (const folder of folders) found.push({ folder, items: await list(target.storage, folder, options) })
      if (!isJson) {
        await print(
          found
            .map(({ folder, items }) => `${folder}:\n${formatItems(asShown(target, folder, items))}\n`)
            .join(''),
        )
        return
      }
      const rows = found.flatMap(({ folder, items }) =>
        items.map(item => ({ folder, ...itemJson(item, target.storage.name) })),
      )
      await print(`${writeJson(rows)}\n`)
    }),
}

/** On a file system the original shows what lies in a folder of a folder with a slash in front, except below the root. */
function asShown(
  { description }: Target,
  folder: string,
  items: readonly ListedItem[],
): readonly ListedItem[] {
  if (description.driver.kind !== 'fs' || folder === '') return items
  const isDeeper = ({ kind, name }: ListedItem): boolean => kind === 'folder' || name.includes('/')
  return items.map(item => (isDeeper(item) ? { ...item, name: `/${item.name}` } : item))
}
