import { compileGlob } from '../../storage/glob-match.ts'
import { joinKey } from '../../storage/keys.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'
import { listFolder } from './folder-listing.ts'

/** What a pattern stands for; both sorted, folders without closing slash. */
export interface GlobMatches {
  readonly objects: readonly string[]
  readonly folders: readonly string[]
}

/**
 * Expands a pattern of Go's filepath.Match, one folder level after the other: only folders that match so far are
 * listed. Throws USAGE for a pattern that is not well formed.
 */
export async function expandGlob(
  storage: Storage,
  pattern: string,
  options: Abortable = {},
): Promise<GlobMatches> {
  const components = pattern.split('/').filter(component => component !== '')
  let folders: string[] = ['']
  let objects: string[] = []
  for (const component of components) {
    const isMatch = compileGlob(component)
    const within = folders
    folders = []
    objects = []
    for (const folder of within) {
      for (const item of await listFolder(storage, folder, { ...options, isRecursive: false })) {
        if (!isMatch(item.name)) continue
        const key = joinKey(folder, item.name)
        if (item.kind === 'folder') folders.push(key)
        else objects.push(key)
      }
    }
  }
  return { objects, folders: folders.filter(folder => folder !== '') }
}
