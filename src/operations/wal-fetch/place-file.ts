import { chmodSync, existsSync, linkSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../kit/errors.ts'
import { syncPath } from '../../kit/file-system.ts'
import { removeFile } from './download.ts'

const GROUP_READS = 0o640
const GROUP_MAY_LIST = 0o050

/**
 * Gives a finished file its final name, never replacing anything: two fetches of one segment cannot tear each
 * other's file. Throws TARGET_NOT_EMPTY when the name is taken, FILE_NOT_FOUND when `temporary` has gone.
 */
export function placeFile(
  temporary: string,
  destination: string,
  options: { readonly isDurable: boolean },
): void {
  if (isForGroup(dirname(destination))) chmodSync(temporary, GROUP_READS)
  if (linkTo(temporary, destination)) removeFile(temporary)
  else renameInstead(temporary, destination)
  if (options.isDurable) syncDirectory(dirname(destination))
}

/** As PostgreSQL does it: in a cluster that its group may read, the group may read each file. */
function isForGroup(directory: string): boolean {
  return (statSync(directory).mode & GROUP_MAY_LIST) === GROUP_MAY_LIST
}

/** false: there are no hard links here, or not to this file. */
function linkTo(temporary: string, destination: string): boolean {
  try {
    linkSync(temporary, destination)
    return true
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EEXIST') throw destinationTaken(destination)
    if (errno === 'ENOENT') throw fromSystemError(error, 'place', temporary)
    return false
  }
}

/** For file systems without hard links: a check and a rename, which is not atomic against a second writer. */
function renameInstead(temporary: string, destination: string): void {
  if (existsSync(destination)) throw destinationTaken(destination)
  try {
    renameSync(temporary, destination)
  } catch (error) {
    throw fromSystemError(error, 'rename to', destination)
  }
}

export function destinationTaken(destination: string): WalgError {
  return new WalgError('TARGET_NOT_EMPTY', `unable to create "${destination}": file exists`, {
    facts: { path: destination },
    hint: 'remove the file if nothing else is using it; restore_command should pass %p',
  })
}

function syncDirectory(path: string): void {
  try {
    syncPath(path)
  } catch (error) {
    throw fromSystemError(error, 'fsync', path)
  }
}
