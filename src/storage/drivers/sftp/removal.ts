import {
  checkAbsence,
  folderOf,
  foldersAbove,
  fromSftpError,
  pathOf,
  type SftpPlace,
  unlessMissing,
} from './place.ts'
import { SFTP_STATUS, type SftpSession, statusOf } from './session.ts'
import { sweepFolder } from './sweep.ts'
import { syncFolder } from './temporary.ts'

/** Removes one object. Returns its folder, or undefined when there was no such object: a folder of that name is none. */
export async function removeObject(
  session: SftpSession,
  place: SftpPlace,
  key: string,
): Promise<string | undefined> {
  const path = pathOf(place, key)
  try {
    await session.remove(path)
    return folderOf(path)
  } catch (error) {
    const status = statusOf(error)
    await checkAbsence(session, place, key, error)
    if (status === SFTP_STATUS.noSuchFile) return undefined
    // servers disagree on the status for a folder
    if (status !== undefined && (await unlessMissing(session.lstat(path)))?.kind === 'folder')
      return undefined
    throw fromSftpError(error, place, 'delete', key)
  }
}

/**
 * After objects of `folder` have been removed: removes it and the folders above while they are empty, as the original
 * does, never the root; then makes the removals durable.
 */
export async function settleFolder(session: SftpSession, place: SftpPlace, folder: string): Promise<void> {
  let remaining = folder
  for (const above of foldersAbove(place, folder)) {
    if (!(await removeEmptyFolder(session, remaining))) break
    remaining = above
  }
  await syncFolder(session, remaining)
}

async function removeEmptyFolder(session: SftpSession, folder: string): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      await session.removeFolder(folder)
      return true
    } catch (error) {
      const status = statusOf(error)
      if (status === undefined) throw error
      if (status === SFTP_STATUS.noSuchFile) return true
      if (
        attempt > 1 ||
        !(await hasOnlyTemporaries(session, folder)) ||
        (await sweepFolder(session, folder)) === 0
      ) {
        return false
      }
    }
  }
}

/** Looked at before a folder of many objects is read for nothing: its first entries tell. */
async function hasOnlyTemporaries(session: SftpSession, folder: string): Promise<boolean> {
  try {
    const handle = await session.openFolder(folder)
    const first = await session.readFolder(handle)
    await session.closeHandle(handle)
    return first?.every(entry => entry.name.includes('.tmp.')) ?? true
  } catch (error) {
    if (statusOf(error) === undefined) throw error
    return false
  }
}
