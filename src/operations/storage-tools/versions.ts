import { WalgError } from '../../kit/errors.ts'
import { normalizePrefix } from '../../storage/keys.ts'
import type { Abortable, ObjectVersion, ObjectVersions, Storage } from '../../storage/storage.ts'
import { type ListedItem, listFolder } from './folder-listing.ts'

/** Whether this storage keeps versions of objects. */
export async function keepsVersions(storage: Storage, options: Abortable): Promise<boolean> {
  return (await storage.versions?.areKept(options)) === true
}

/** Every version in a folder, by name; of one object the youngest first. Throws NOT_AVAILABLE without versions. */
export async function listVersions(
  storage: Storage,
  prefix: string,
  options: Abortable & { readonly isRecursive: boolean },
): Promise<readonly ObjectVersion[]> {
  const { isRecursive, ...abortable } = options
  const found: ObjectVersion[] = []
  for await (const version of versionsOf(storage).list(prefix, { ...abortable, recursive: isRecursive })) {
    found.push(version)
  }
  return found.sort((a, b) => {
    if (a.key !== b.key) return a.key < b.key ? -1 : 1
    if (a.isLatest !== b.isLatest) return a.isLatest ? -1 : 1
    return a.modifiedNs > b.modifiedNs ? -1 : 1
  })
}

/** The same as `st ls` shows it, after the folders below. */
export async function listFolderVersions(
  storage: Storage,
  prefix: string,
  options: Abortable & { readonly isRecursive: boolean },
): Promise<readonly ListedItem[]> {
  const skipped = prefix === '' ? 0 : prefix.length + 1
  const folders = options.isRecursive
    ? []
    : (await listFolder(storage, prefix, options)).filter(({ kind }) => kind === 'folder')
  const versions = await listVersions(storage, prefix, options)
  return [
    ...folders,
    ...versions.map(({ key, versionId, sizeBytes, modifiedNs, isLatest, isDeleted }) => ({
      kind: 'object' as const,
      name: key.slice(skipped),
      sizeBytes,
      modifiedNs,
      version: { id: versionId, isLatest, isDeleted },
    })),
  ]
}

/** Removes one version for good. */
export async function removeVersion(
  storage: Storage,
  path: string,
  versionId: string,
  options: Abortable,
): Promise<void> {
  await versionsOf(storage).delete([{ key: normalizePrefix(path), versionId }], options)
}

/**
 * Removes every version of the object at `path`, or of all objects in the folder of that name; a closing slash means
 * the folder. Throws OBJECT_NOT_FOUND when there is none. Returns how many versions went.
 */
export async function removeAllVersions(storage: Storage, path: string, options: Abortable): Promise<number> {
  const key = normalizePrefix(path)
  const versions = versionsOf(storage)
  const parent = key.includes('/') ? key.slice(0, key.lastIndexOf('/')) : ''
  const isFolder = path.endsWith('/') || key === ''
  let found: ObjectVersion[] = []
  if (!isFolder) {
    for await (const version of versions.list(parent, options)) if (version.key === key) found.push(version)
  }
  if (found.length === 0) {
    found = [...(await listVersions(storage, key, { ...options, isRecursive: true }))]
  }
  if (found.length === 0) {
    throw new WalgError('OBJECT_NOT_FOUND', `object or folder "${path}" does not exist`, {
      facts: { key: path, storage: storage.name },
    })
  }
  await versions.delete(found, options)
  return found.length
}

function versionsOf(storage: Storage): ObjectVersions {
  if (storage.versions !== undefined) return storage.versions
  throw new WalgError('NOT_AVAILABLE', `storage "${storage.name}" keeps no versions of objects`, {
    facts: { storage: storage.name },
  })
}
