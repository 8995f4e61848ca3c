import { dirname } from 'node:path'
import { errnoOf } from '../../../kit/errors.ts'
import { call, type FileSteps, unless } from '../../../kit/file-steps.ts'
import { boundaryOf, checkAbsence, checkInside, type FsPlace, fromFsError, pathOf } from './place.ts'
import { sweepFolder } from './sweep.ts'
import { syncFolder } from './temporary.ts'

/**
 * Removes one object. Returns its folder, or undefined when there was no such object. A folder of that name is not
 * an object and stays.
 */
export function* removeObject(place: FsPlace, key: string): FileSteps<string | undefined> {
  const path = pathOf(place, key)
  try {
    const folder = yield* checkInside(place, key, yield* call('realpath', dirname(path)))
    const target = `${folder === '/' ? '' : folder}${path.slice(path.lastIndexOf('/'))}`
    const stat = yield* call('lstat', target)
    if (!stat.isFile() && !stat.isSymbolicLink()) return undefined
    yield* call('unlink', target)
    return folder
  } catch (error) {
    yield* checkAbsence(place, key, error)
    const errno = errnoOf(error)
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ENAMETOOLONG') return undefined
    throw fromFsError(error, place, 'delete', key)
  }
}

/**
 * After objects of `folder` have been removed: removes it and the folders above while they are empty, as the original
 * does, never the root or an annex; then makes the removals durable, so that a power loss cannot bring a sentinel back whose parts
 * are gone. A put that runs at the same time holds its folder by its temporary, or makes it again.
 */
export function* settleFolder(place: FsPlace, folder: string, counts: EntryCounts): FileSteps<void> {
  try {
    const boundary = boundaryOf(place, folder)
    let remaining = folder
    while (boundary !== undefined && remaining !== boundary) {
      if (!(yield* removeEmptyFolder(remaining, counts))) break
      remaining = dirname(remaining)
      noteRemoved(counts, remaining)
    }
    if (place.isDurable) yield* unless(['ENOENT'], syncFolder(remaining))
  } catch (error) {
    throw fromFsError(error, place, 'delete', folder.slice(place.realRoot.length + 1))
  }
}

/** Objects and folders that a folder had when it was last read, less those that have been removed since. */
export type EntryCounts = Map<string, number>

/** To be called for each object that `removeObject` has removed from `folder`. */
export function noteRemoved(counts: EntryCounts, folder: string): void {
  const count = counts.get(folder)
  if (count !== undefined) counts.set(folder, count - 1)
}

/** A folder that cannot hold temporaries alone is not read: after each of many calls that would be all of a large archive. */
function* removeEmptyFolder(folder: string, counts: EntryCounts): FileSteps<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      yield* call('rmdir', folder)
      counts.delete(folder)
      return true
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOENT') return true
      if (errno !== 'ENOTEMPTY' && errno !== 'EEXIST' && errno !== 'EBUSY') throw error
      if (attempt > 1 || (counts.get(folder) ?? 0) > 0) return false
      const { removed, others } = yield* sweepFolder(folder)
      counts.set(folder, others)
      if (removed === 0) return false
    }
  }
}
