import type { Dirent } from 'node:fs'
import { errnoOf, hasCode } from '../../../kit/errors.ts'
import { call, type FileSteps, runPooled } from '../../../kit/file-steps.ts'
import type { FileSystem } from '../../../kit/file-system.ts'
import { isTemporaryName, joinKey } from '../../keys.ts'
import type { ListOptions, StorageEntry } from '../../storage.ts'
import type { ListedNames } from '../../temporary-uploads.ts'
import { checkAbsence, checkInside, type FsPlace, fromFsError, pathOf } from './place.ts'

/** Entries looked at side by side: enough to keep the thread pool busy. */
const LOOKS_AT_ONCE = 64

interface Folder {
  readonly prefix: string
  readonly path: string
  /** Real paths of the folders above, when a symbolic link was followed: a loop ends there. */
  readonly above: readonly string[]
}

/**
 * Lists a folder, or everything below it. Regular files are objects; temporaries, sockets and the like are not there. With
 * `temporaries` those are what is there, and no other files.
 */
export async function* listFolder(
  system: FileSystem,
  place: FsPlace,
  prefix: string,
  options: ListOptions,
  names: ListedNames = 'objects',
): AsyncGenerator<StorageEntry> {
  const first = await runPooled(system, openPrefix(place, prefix), options.signal)
  const waiting: Folder[] = first === undefined ? [] : [first]
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const entries = await runPooled(system, readEntries(place, folder, names), options.signal)
    for (let at = 0; at < entries.length; at += LOOKS_AT_ONCE) {
      options.onProgress?.()
      const group = entries.slice(at, at + LOOKS_AT_ONCE)
      const current = folder
      const looks = group.map(entry => runPooled(system, lookAt(place, current, entry), options.signal))
      for (const found of await Promise.all(looks)) {
        if (found === undefined) continue
        if ('path' in found === false) {
          if (names === 'objects' || isTemporaryName(found.key)) yield found
        } else if (options.recursive === true) waiting.push(found)
        else yield { kind: 'prefix', key: found.prefix }
      }
    }
  }
}

/** The folder of a prefix; undefined when nobody wrote to it. Throws when the root itself is not there. */
function* openPrefix(place: FsPlace, prefix: string): FileSteps<Folder | undefined> {
  try {
    const path = yield* checkInside(place, prefix, yield* call('realpath', pathOf(place, prefix)))
    return { prefix, path, above: [] }
  } catch (error) {
    yield* checkAbsence(place, prefix, error)
    if (isAbsence(error) && prefix !== '') return undefined
    throw fromFsError(error, place, 'list', prefix)
  }
}

function* readEntries(place: FsPlace, folder: Folder, names: ListedNames): FileSteps<Dirent[]> {
  try {
    const entries = yield* call('readdir', folder.path)
    return entries.filter(entry =>
      names === 'objects' ? !isTemporaryName(entry.name) : isTemporaryName(entry.name) || !entry.isFile(),
    )
  } catch (error) {
    yield* checkAbsence(place, folder.prefix, error)
    if (isAbsence(error) && folder.prefix !== '') return []
    throw fromFsError(error, place, 'list', folder.prefix)
  }
}

function* lookAt(
  place: FsPlace,
  folder: Folder,
  entry: Dirent,
): FileSteps<StorageEntry | Folder | undefined> {
  const key = joinKey(folder.prefix, entry.name)
  const path = `${folder.path}/${entry.name}`
  try {
    if (entry.isDirectory()) return { prefix: key, path, above: folder.above }
    let real = path
    if (entry.isSymbolicLink()) {
      real = yield* call('realpath', path)
      if (!(yield* isOurs(place, key, real))) return undefined
    }
    const stat = yield* call('lstat', real)
    if (stat.isFile()) {
      return { kind: 'object', key, sizeBytes: Number(stat.size), modifiedNs: stat.mtimeNs }
    }
    if (!stat.isDirectory()) return undefined
    const above = [...folder.above, folder.path]
    const isLoop = above.some(one => one === real || one.startsWith(`${real}/`))
    return isLoop ? undefined : { prefix: key, path: real, above }
  } catch (error) {
    // Removed since the folder was read, or a link to nowhere.
    if (isAbsence(error) || errnoOf(error) === 'ELOOP') return undefined
    throw fromFsError(error, place, 'list', key)
  }
}

/** What lies outside is not listed. */
function* isOurs(place: FsPlace, key: string, real: string): FileSteps<boolean> {
  try {
    yield* checkInside(place, key, real)
    return true
  } catch (error) {
    if (hasCode(error, 'KEY_REFUSED')) return false
    throw error
  }
}

function isAbsence(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ENAMETOOLONG'
}
