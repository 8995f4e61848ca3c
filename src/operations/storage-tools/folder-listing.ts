import type { Abortable, Storage } from '../../storage/storage.ts'

/** What `st ls` shows of an object, or of a folder of which objects lie. */
export interface ListedItem {
  readonly kind: 'object' | 'folder'
  /** Relative to the folder that was listed; of a folder without the closing slash. */
  readonly name: string
  /** 0 for a folder. */
  readonly sizeBytes: number
  /** Undefined for a folder. */
  readonly modifiedNs: bigint | undefined
  /** With all versions: which one this is. */
  readonly version?: { readonly id: string; readonly isLatest: boolean; readonly isDeleted: boolean }
}

/**
 * Lists a folder: its folders, then its objects, each sorted by name. `isRecursive`: every object below it, one
 * depth after the other, as the original walks a storage. A folder that nobody wrote to is empty.
 */
export async function listFolder(
  storage: Storage,
  prefix: string,
  options: Abortable & { readonly isRecursive: boolean },
): Promise<readonly ListedItem[]> {
  const { isRecursive, ...abortable } = options
  const skipped = prefix === '' ? 0 : prefix.length + 1
  const items: ListedItem[] = []
  for await (const entry of storage.list(prefix, { ...abortable, recursive: isRecursive })) {
    const name = entry.key.slice(skipped)
    if (entry.kind === 'prefix') {
      items.push({ kind: 'folder', name: name.replace(/\/$/, ''), sizeBytes: 0, modifiedNs: undefined })
    } else {
      items.push({ kind: 'object', name, sizeBytes: entry.sizeBytes, modifiedNs: entry.modifiedNs })
    }
  }
  return isRecursive ? sortByDepth(items) : items.sort(compareInFolder)
}

function compareInFolder(left: ListedItem, right: ListedItem): number {
  if (left.kind !== right.kind) return left.kind === 'folder' ? -1 : 1
  return left.name < right.name ? -1 : left.name > right.name ? 1 : 0
}

/** Folders of one depth after the other, each with its objects by name. */
function sortByDepth(items: readonly ListedItem[]): readonly ListedItem[] {
  const places = items.map(item => ({ item, path: item.name.split('/') }))
  places.sort((left, right) => {
    const deeper = left.path.length - right.path.length
    if (deeper !== 0) return deeper
    for (const [at, component] of left.path.entries()) {
      const other = right.path[at]!
      if (component !== other) return component < other ? -1 : 1
    }
    return 0
  })
  return places.map(({ item }) => item)
}
