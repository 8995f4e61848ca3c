import { dirname } from 'node:path'
import { errnoOf, WalgError } from '../../../kit/errors.ts'
import { call, type FileSteps } from '../../../kit/file-steps.ts'
import { leadsNowhere, refuse } from '../../keys.ts'

/** Where a storage of the `fs` driver lives. */
export interface FsPlace {
  /** The storage's name, for messages. */
  readonly name: string
  /** As it was configured, for messages. */
  readonly root: string
  /** Without symbolic links: what every path is compared with. */
  readonly realRoot: string
  /**
   * Real paths of the directories to which links in the root itself lead, as they are met: an administrator has put
   * them there, to have a folder of the repository on another disk.
   */
  readonly annexes: Set<string>
  /** false: no fsync anywhere. */
  readonly isDurable: boolean
  /** One in so many objects looks for stale temporaries in its folder. */
  readonly sweepOneIn: number
}

/** The path of a checked key; symbolic links not yet looked at. */
export function pathOf(place: FsPlace, key: string): string {
  return key === '' ? place.realRoot : `${place.realRoot}/${key}`
}

/** The steps by which the real root is found: STORAGE_ROOT_MISSING unless it is a directory. */
export function* resolveRoot(root: string, name: string): FileSteps<string> {
  try {
    const realRoot = yield* call('realpath', root)
    const stat = yield* call('stat', realRoot)
    if (stat.isDirectory()) return realRoot
  } catch (error) {
    throw fromFsError(error, { name, root }, 'open', '')
  }
  throw rootMissing({ name, root }, 'it is not a directory')
}

/**
 * The real path of what `key` names. Throws OBJECT_NOT_FOUND, KEY_REFUSED when a symbolic link leads out of
 * the root, STORAGE_ROOT_MISSING when the root itself has gone: absence is only claimed by a root that is there.
 */
export function* resolveKey(place: FsPlace, key: string): FileSteps<string> {
  try {
    const real = yield* call('realpath', pathOf(place, key))
    return yield* checkInside(place, key, real)
  } catch (error) {
    yield* checkAbsence(place, key, error)
    throw fromFsError(error, place, 'read', key)
  }
}

/**
 * Throws when `error` says that `key` is missing, and that is not known: STORAGE_ROOT_MISSING when the root is missing as well,
 * STORAGE_UNAVAILABLE when a link on the way leads nowhere, as to a disk that is not mounted.
 */
export function* checkAbsence(place: FsPlace, key: string, error: unknown): FileSteps<void> {
  if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') return
  try {
    yield* call('lstat', place.realRoot)
  } catch (rootError) {
    throw fromFsError(rootError, place, 'open', '')
  }
  let path = place.realRoot
  for (const part of key.split('/')) {
    path = `${path}/${part}`
    if (!(yield* leadsOn(place, key, path))) return
  }
}

/** false: there is nothing of that name. */
function* leadsOn(place: FsPlace, key: string, path: string): FileSteps<boolean> {
  try {
    if (!(yield* call('lstat', path)).isSymbolicLink()) return true
  } catch {
    return false
  }
  try {
    yield* call('stat', path)
    return true
  } catch (error) {
    throw leadsNowhere(key, place.name, path, error)
  }
}

/**
 * Throws KEY_REFUSED when `real`, which `key` has led to, lies outside: neither in the root nor in a directory to which a
 * link in the root leads. Links further down lead nowhere else.
 */
export function* checkInside(place: FsPlace, key: string, real: string): FileSteps<string> {
  if (isInside(place, real)) return real
  const annex = yield* call('realpath', pathOf(place, key.split('/', 1)[0]!))
  const stat = yield* call('lstat', annex)
  const isAbove = annex === '/' || place.realRoot.startsWith(`${annex}/`)
  if (stat.isDirectory() && !isAbove) place.annexes.add(annex)
  if (isInside(place, real)) return real
  throw refuse(key, place.name, `a symbolic link leads out of the storage's folder, to "${real}"`)
}

/** True for the root, its annexes that have been met, and what lies in them. */
export function isInside(place: FsPlace, real: string): boolean {
  return boundaryOf(place, real) !== undefined
}

/** The root or the annex that `real` lies in. */
export function boundaryOf(place: FsPlace, real: string): string | undefined {
  if (place.realRoot === '/') return place.realRoot
  const boundaries = [place.realRoot, ...place.annexes]
  return boundaries.find(one => real === one || real.startsWith(`${one}/`))
}

/**
 * Makes sure that the folder of `key` exists and lies inside the root; folders made on the way are added to
 * `created`, outermost first. Never creates the root. Returns the real path of the folder.
 */
export function* ensureFolder(
  place: FsPlace,
  key: string,
  folder: string,
  created: string[],
): FileSteps<string> {
  try {
    return yield* checkInside(place, key, yield* call('realpath', folder))
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    if (folder === place.realRoot) throw rootMissing(place, 'it has gone')
  }
  const parent = yield* ensureFolder(place, key, dirname(folder), created)
  const path = `${parent}${folder.slice(folder.lastIndexOf('/'))}`
  try {
    yield* call('mkdir', path)
    created.push(path)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
  return yield* checkInside(place, key, yield* call('realpath', path))
}

/**
 * Translates an error of the system where it is first seen. `doing` is a verb such as `read`, `put`;
 * an empty key means the root.
 */
export function fromFsError(
  error: unknown,
  place: Pick<FsPlace, 'name' | 'root'>,
  doing: string,
  key: string,
): Error {
  if (error instanceof WalgError) return error
  const errno = errnoOf(error)
  if (errno === undefined) return error instanceof Error ? error : new Error(String(error))
  if (key === '' && (errno === 'ENOENT' || errno === 'ENOTDIR')) {
    return rootMissing(
      place,
      errno === 'ENOENT' ? 'there is no such directory' : 'it is not a directory',
      error,
    )
  }
  const facts = { key, storage: place.name, errno }
  const what =
    key === ''
      ? `the folder "${place.root}" of storage "${place.name}"`
      : `object "${key}" in storage "${place.name}"`
  const text = error instanceof Error ? error.message : errno
  switch (errno) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ENAMETOOLONG':
      if (doing === 'put') break
      return objectNotFound(key, place.name, error)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new WalgError('ACCESS_DENIED', `unable to ${doing} ${what}: ${text}`, {
        facts,
        cause: error,
        hint: `give this user access to "${place.root}", or run as the user that owns it`,
      })
    case 'ENOSPC':
    case 'EDQUOT':
      return new WalgError('DISK_FULL', `unable to ${doing} ${what}: no space left under "${place.root}"`, {
        facts,
        cause: error,
        hint: 'free some space or enlarge the file system, then run the command again',
      })
  }
  if (['ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'ELOOP', 'EINVAL'].includes(errno) && doing === 'put') {
    const reasons: Record<string, string> = {
      ENOTDIR: 'a part of its path is an object',
      EISDIR: 'there is a folder of that name',
      ENAMETOOLONG: 'the name is too long for the file system',
      ELOOP: 'its path has a loop of symbolic links',
    }
    return refuse(key, place.name, reasons[errno] ?? text, error)
  }
  return new WalgError('STORAGE_UNAVAILABLE', `unable to ${doing} ${what}: ${text}`, { facts, cause: error })
}

export function objectNotFound(key: string, storage: string, cause?: unknown): WalgError {
  return new WalgError('OBJECT_NOT_FOUND', `object "${key}" not found in storage "${storage}"`, {
    facts: { key, storage },
    cause,
  })
}

function rootMissing(place: Pick<FsPlace, 'name' | 'root'>, reason: string, cause?: unknown): WalgError {
  return new WalgError(
    'STORAGE_ROOT_MISSING',
    `the folder "${place.root}" of storage "${place.name}" cannot be used: ${reason}`,
    {
      facts: { storage: place.name, root: place.root },
      cause,
      hint: 'create the folder, or mount the file system it lies on; it is never created by itself',
    },
  )
}
