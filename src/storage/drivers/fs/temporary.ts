import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf, WalgError } from '../../../kit/errors.ts'
import { call, type FileSteps, unless } from '../../../kit/file-steps.ts'
import { refuse, temporarySuffix } from '../../keys.ts'
import { boundaryOf, ensureFolder, type FsPlace, pathOf } from './place.ts'

/** An object that is being written, beside the place where it will be. */
export interface Temporary {
  readonly key: string
  readonly path: string
  /** The final path. */
  readonly target: string
  readonly folder: string
  /** Folders that go with it where nothing else lies in them, outermost first. */
  readonly removable: readonly string[]
  /** -1 when closed. */
  fd: number
}

export type IfAbsent = { readonly ifAbsent?: boolean; readonly mayLookFirst?: boolean }

/** Tries when a concurrent delete removes the folder between its creation and that of the temporary. */
const ATTEMPTS_MAX = 32
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL

/**
 * Creates the temporary of `key` and its folders. While it is there, no folder above it can be removed: so what is
 * made durable about them after this stays true. Throws OBJECT_EXISTS early when `ifAbsent` and the object is there.
 * `fill` makes the file by other means than creating it empty, and tells its descriptor.
 */
export function* openTemporary(
  place: FsPlace,
  key: string,
  options: IfAbsent,
  fill?: (path: string) => FileSteps<number>,
): FileSteps<Temporary> {
  const path = pathOf(place, key)
  const name = path.slice(path.lastIndexOf('/'))
  for (let attempt = 1; ; attempt++) {
    const created: string[] = []
    try {
      const folder = yield* ensureFolder(place, key, dirname(path), created)
      const target = `${folder === '/' ? '' : folder}${name}`
      yield* checkTarget(place, key, target, options)
      const temporary = target + temporarySuffix()
      const fd = fill === undefined ? yield* call('open', temporary, CREATE, 0o666) : yield* fill(temporary)
      return { key, path: temporary, target, folder, removable: removableFolders(place, folder, created), fd }
    } catch (error) {
      yield* removeFolders(created)
      const errno = errnoOf(error)
      if ((errno !== 'ENOENT' && errno !== 'EEXIST') || attempt >= ATTEMPTS_MAX) throw error
    }
  }
}

/**
 * Those made for this object, and those below the first level: one that came to nothing beside it may have made them, and have
 * left them to this one.
 */
function removableFolders(place: FsPlace, folder: string, created: readonly string[]): string[] {
  const boundary = boundaryOf(place, folder) ?? folder
  const removable: string[] = []
  for (let above = folder; above !== boundary; above = dirname(above)) {
    if (dirname(above) !== boundary || created.includes(above)) removable.unshift(above)
  }
  return removable
}

function* checkTarget(place: FsPlace, key: string, target: string, options: IfAbsent): FileSteps<void> {
  const stat = yield* unless(['ENOENT'], call('lstat', target))
  if (stat?.isDirectory() === true) throw refuse(key, place.name, 'there is a folder of that name')
  if (stat !== undefined && options.ifAbsent === true) throw objectExists(place, key)
}

/**
 * Makes the temporary the object: content first, then the name, then the folder's entry. After an error the
 * caller discards it.
 */
export function* publish(place: FsPlace, temporary: Temporary, options: IfAbsent): FileSteps<void> {
  if (place.isDurable) yield* call('fsync', temporary.fd)
  yield* closeTemporary(temporary)
  if (options.ifAbsent === true) yield* linkIntoPlace(place, temporary, options)
  else yield* call('rename', temporary.path, temporary.target)
  if (place.isDurable) yield* syncFolder(temporary.folder)
}

function* linkIntoPlace(place: FsPlace, temporary: Temporary, options: IfAbsent): FileSteps<void> {
  try {
    yield* call('link', temporary.path, temporary.target)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno !== undefined && ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(errno)) {
      if (options.mayLookFirst === true) {
        yield* checkTarget(place, temporary.key, temporary.target, options)
        yield* call('rename', temporary.path, temporary.target)
        return
      }
      throw new WalgError(
        'FORMAT_UNSUPPORTED',
        `unable to put object "${temporary.key}" only if absent in storage "${place.name}": its file system has no hard links`,
        { facts: { key: temporary.key, storage: place.name, errno }, cause: error },
      )
    }
    // Over NFS the answer to the first try may be lost and the second say EEXIST: the count of links tells.
    if (errno !== 'EEXIST' || !(yield* isLinkedTo(temporary))) {
      throw errno === 'EEXIST' ? objectExists(place, temporary.key) : error
    }
  }
  yield* unless(['ENOENT'], call('unlink', temporary.path))
}

function* isLinkedTo(temporary: Temporary): FileSteps<boolean> {
  const own = yield* call('lstat', temporary.path)
  if (own.nlink < 2n) return false
  const other = yield* unless(['ENOENT'], call('lstat', temporary.target))
  return other !== undefined && other.ino === own.ino && other.dev === own.dev
}

/** Removes the temporary and the folders that are empty without it. Safe to run again, and after `publish`. */
export function* discard(temporary: Temporary): FileSteps<void> {
  try {
    yield* closeTemporary(temporary)
  } finally {
    yield* unless(['ENOENT'], call('unlink', temporary.path))
    yield* removeFolders(temporary.removable)
  }
}

function* closeTemporary(temporary: Temporary): FileSteps<void> {
  const fd = temporary.fd
  temporary.fd = -1
  if (fd !== -1) yield* call('close', fd)
}

/** Makes the entries of the folders above `folder` durable, up to the root: they may be somebody else's, and new. */
export function* syncFoldersAbove(place: FsPlace, folder: string): FileSteps<void> {
  for (let above = folder; above !== place.realRoot && above.length > 1; ) {
    above = dirname(above)
    yield* syncFolder(above)
  }
}

/** fsync of a directory; file systems that cannot do that (they say EINVAL) keep their entries by themselves. */
export function* syncFolder(folder: string): FileSteps<void> {
  const fd = yield* call('open', folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    yield* unless(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'], call('fsync', fd))
  } finally {
    yield* call('close', fd)
  }
}

/** Removes folders that are empty, innermost first; others stay. */
export function* removeFolders(folders: readonly string[]): FileSteps<void> {
  for (const folder of folders.toReversed()) {
    yield* unless(['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'], call('rmdir', folder))
  }
}

function objectExists(place: FsPlace, key: string): WalgError {
  return new WalgError('OBJECT_EXISTS', `object "${key}" exists already in storage "${place.name}"`, {
    facts: { key, storage: place.name },
  })
}
