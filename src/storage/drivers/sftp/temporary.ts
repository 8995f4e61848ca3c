import { WalgError } from '../../../kit/errors.ts'
import { refuse, temporarySuffix } from '../../keys.ts'
import type { PutOptions } from '../../storage.ts'
import {
  checkAbsence,
  ensureFolder,
  folderOf,
  foldersAbove,
  pathOf,
  removeFolders,
  type SftpPlace,
  unlessMissing,
} from './place.ts'
import { SFTP_STATUS, type SftpHandle, type SftpSession, statusOf } from './session.ts'

/** An object that is being written, beside the place where it will be. */
export interface Temporary {
  readonly key: string
  readonly path: string
  /** The final path. */
  readonly target: string
  readonly folder: string
  /** Folders made for this object, outermost first. */
  readonly created: readonly string[]
}

export type IfAbsent = Pick<PutOptions, 'ifAbsent'>

/** Tries when a concurrent delete removes the folder between its creation and that of the temporary. */
const ATTEMPTS_MAX = 32

/**
 * Creates the temporary of `key` and its folders; while it is there, no folder above it can be removed. Throws
 * OBJECT_EXISTS early when `ifAbsent` and the object is there.
 */
export async function openTemporary(
  session: SftpSession,
  place: SftpPlace,
  key: string,
  options: IfAbsent,
): Promise<{ temporary: Temporary; handle: SftpHandle }> {
  const target = pathOf(place, key)
  const folder = folderOf(target)
  const targetIsFree = checkTarget(session, place, key, target, options)
  targetIsFree.catch(() => {})
  const created: string[] = []
  for (let attempt = 1; ; attempt++) {
    const temporary: Temporary = { key, path: target + temporarySuffix(), target, folder, created }
    try {
      // mostly the folder is there: it is looked for only when it is not
      if (attempt > 1) await ensureFolder(session, place, key, folder, created)
      const handle = await session.open(temporary.path, 'wx')
      await targetIsFree.catch(async error => {
        await session.closeHandle(handle)
        await discard(session, temporary)
        throw error
      })
      return { temporary, handle }
    } catch (error) {
      if (statusOf(error) === SFTP_STATUS.noSuchFile && attempt < ATTEMPTS_MAX) continue
      if (created.length > 0) await removeFolders(session, created)
      throw error
    }
  }
}

async function checkTarget(
  session: SftpSession,
  place: SftpPlace,
  key: string,
  target: string,
  options: IfAbsent,
): Promise<void> {
  const found = await unlessMissing(session.lstat(target))
  if (found?.kind === 'folder') throw refuse(key, place.name, 'there is a folder of that name')
  if (found !== undefined && options.ifAbsent === true) throw objectExists(place, key)
}

/**
 * Gives the object its name. `isRepeated`: an earlier attempt may have done it, its answer was lost. Of two conditional
 * puts one wins, because OpenSSH renames by linking.
 */
export async function giveName(
  session: SftpSession,
  place: SftpPlace,
  temporary: Temporary,
  options: IfAbsent & { readonly isRepeated: boolean },
): Promise<void> {
  try {
    if (options.ifAbsent === true) await session.rename(temporary.path, temporary.target)
    else if (session.extensions.has('posix-rename@openssh.com')) {
      await session.renameOver(temporary.path, temporary.target)
    } else await renameWithCare(session, temporary)
  } catch (error) {
    const status = statusOf(error)
    if (status === SFTP_STATUS.noSuchFile && options.isRepeated && (await isNamed(session, temporary))) return
    if (status === SFTP_STATUS.failure && options.ifAbsent === true) {
      if ((await unlessMissing(session.lstat(temporary.target))) !== undefined) {
        throw objectExists(place, temporary.key)
      }
    }
    await checkAbsence(session, place, temporary.key, error)
    throw error
  }
}

/** The temporary has gone and nobody else knows its name: so it was given its own. */
async function isNamed(session: SftpSession, temporary: Temporary): Promise<boolean> {
  return (await unlessMissing(session.lstat(temporary.target)))?.kind === 'file'
}

/**
 * For servers that refuse to rename over a file: the old object is set aside under a hidden name, and comes back when
 * the new one cannot take its place. Between the two there is no object of that name, for one answer of the server.
 */
async function renameWithCare(session: SftpSession, temporary: Temporary): Promise<void> {
  let aside: string | undefined
  for (let attempt = 1; ; attempt++) {
    try {
      await session.rename(temporary.path, temporary.target)
      break
    } catch (error) {
      if (statusOf(error) !== SFTP_STATUS.failure || attempt >= ATTEMPTS_MAX) {
        if (aside !== undefined) await session.rename(aside, temporary.target)
        throw error
      }
    }
    // of several writers each may set aside what another has just put there
    const moved = await setAside(session, temporary.target)
    if (moved !== undefined && aside !== undefined) await unlessMissing(session.remove(aside))
    aside = moved ?? aside
  }
  if (aside !== undefined) await unlessMissing(session.remove(aside))
}

/** The hidden name that the object has now; undefined when there was none. */
async function setAside(session: SftpSession, target: string): Promise<string | undefined> {
  const aside = target + temporarySuffix()
  try {
    await session.rename(target, aside)
    return aside
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.noSuchFile) return undefined
    throw error
  }
}

/** Makes a file durable where the server can. */
export async function syncFile(session: SftpSession, handle: SftpHandle): Promise<void> {
  if (session.extensions.has('fsync@openssh.com')) await session.sync(handle)
}

/**
 * Makes the entries of a folder durable. The protocol knows no such thing; OpenSSH opens a folder like a file and syncs
 * it. A server that refuses keeps its entries by its own means.
 */
export async function syncFolder(session: SftpSession, folder: string): Promise<void> {
  if (!session.extensions.has('fsync@openssh.com')) return
  try {
    const handle = await session.open(folder, 'r')
    try {
      await session.sync(handle)
    } finally {
      await session.closeHandle(handle)
    }
  } catch (error) {
    if (statusOf(error) === undefined) throw error
  }
}

/** The folders above may be somebody else's, and new. */
export async function syncFoldersAbove(
  session: SftpSession,
  place: SftpPlace,
  folder: string,
): Promise<void> {
  await Promise.all(foldersAbove(place, folder).map(above => syncFolder(session, above)))
}

/** Nothing of the object remains, nor of the folders that were made for it. */
export async function discard(session: SftpSession, temporary: Temporary): Promise<void> {
  await unlessMissing(session.remove(temporary.path))
  await removeFolders(session, temporary.created)
}

export function objectExists(place: SftpPlace, key: string): WalgError {
  return new WalgError('OBJECT_EXISTS', `object "${key}" exists already in storage "${place.name}"`, {
    facts: { key, storage: place.name },
  })
}
