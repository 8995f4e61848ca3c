import { WalgError } from '../../../kit/errors.ts'
import { leadsNowhere, refuse } from '../../keys.ts'
import { SFTP_STATUS, type SftpSession, statusOf } from './session.ts'

/** Where a storage of the `sftp` driver lives. */
export interface SftpPlace {
  /** The storage's name, for messages. */
  readonly name: string
  readonly host: string
  /** Absolute, without `/` at its end except for `/` itself. */
  readonly root: string
  /** One in so many objects looks for stale temporaries in its folder. */
  readonly sweepOneIn: number
}

/** The path of a checked key or prefix. */
export function pathOf(place: SftpPlace, key: string): string {
  if (key === '') return place.root
  return place.root === '/' ? `/${key}` : `${place.root}/${key}`
}

/** The folder of a path; `/` is its own. */
export function folderOf(path: string): string {
  const end = path.lastIndexOf('/')
  return end <= 0 ? '/' : path.slice(0, end)
}

/** The folders above `folder`, innermost first, up to the root. */
export function foldersAbove(place: SftpPlace, folder: string): string[] {
  const above: string[] = []
  for (let path = folder; path !== place.root && path !== '/'; ) {
    path = folderOf(path)
    above.push(path)
  }
  return above
}

/** Undefined instead of the error when the server says that there is no such file. */
export async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.noSuchFile) return undefined
    throw error
  }
}

/**
 * Throws when `error` says that `key` is missing, and that is not known: STORAGE_ROOT_MISSING when the root is missing as well,
 * STORAGE_UNAVAILABLE when a link on the way leads nowhere, as to a disk that is not mounted.
 */
export async function checkAbsence(
  session: SftpSession,
  place: SftpPlace,
  key: string,
  error: unknown,
): Promise<void> {
  if (statusOf(error) !== SFTP_STATUS.noSuchFile) return
  await checkRoot(session, place)
  for (let end = key.indexOf('/'); end !== -1; end = key.indexOf('/', end + 1)) {
    if (!(await leadsOn(session, place, key, pathOf(place, key.slice(0, end))))) return
  }
  await leadsOn(session, place, key, pathOf(place, key))
}

/** false: there is nothing of that name. */
async function leadsOn(session: SftpSession, place: SftpPlace, key: string, path: string): Promise<boolean> {
  const found = await unlessMissing(session.lstat(path))
  if (found?.kind !== 'link') return found !== undefined
  if ((await unlessMissing(session.stat(path))) !== undefined) return true
  throw leadsNowhere(key, place.name, path)
}

/** Makes the root and what is above it where it is missing. */
export async function makeRoot(session: SftpSession, place: SftpPlace): Promise<void> {
  try {
    await ensureFolder(session, place, '', place.root, [])
  } catch (error) {
    throw fromSftpError(error, place, 'create', '')
  }
}

/** Throws STORAGE_ROOT_MISSING unless the root is a folder. */
export async function checkRoot(session: SftpSession, place: SftpPlace): Promise<void> {
  let kind: string
  try {
    kind = (await session.stat(place.root)).kind
  } catch (error) {
    throw fromSftpError(error, place, 'open', '')
  }
  if (kind !== 'folder') throw rootMissing(place, 'it is not a directory')
}

/**
 * Makes sure that `folder` is there; folders made on the way are added to `created`, outermost first. Throws KEY_REFUSED
 * when a part of the path is an object, STORAGE_ROOT_MISSING without the root, which only `makeRoot` (an empty `key`) makes.
 */
export async function ensureFolder(
  session: SftpSession,
  place: SftpPlace,
  key: string,
  folder: string,
  created: string[],
): Promise<void> {
  const found = await unlessMissing(session.stat(folder))
  if (found?.kind === 'folder') return
  if (found !== undefined && key === '') throw rootMissing(place, `"${folder}" is not a directory`)
  if (found !== undefined) throw refuse(key, place.name, `a part of its path, "${folder}", is an object`)
  if (folder === place.root && key !== '') throw rootMissing(place, 'it has gone')
  if (folder === '/') return
  await ensureFolder(session, place, key, folderOf(folder), created)
  try {
    await session.makeFolder(folder)
    created.push(folder)
  } catch (error) {
    // somebody else was quicker, or this answer was lost: the server has no status for either
    if (statusOf(error) === SFTP_STATUS.failure && (await isFolder(session, folder))) return
    throw error
  }
}

async function isFolder(session: SftpSession, path: string): Promise<boolean> {
  return (await unlessMissing(session.stat(path)))?.kind === 'folder'
}

/** Removes folders that are empty, innermost first, and stops at the first that is not. */
export async function removeFolders(session: SftpSession, folders: readonly string[]): Promise<void> {
  for (const folder of folders.toReversed()) {
    try {
      await session.removeFolder(folder)
    } catch (error) {
      const status = statusOf(error)
      if (status === undefined) throw error
      if (status !== SFTP_STATUS.noSuchFile) return
    }
  }
}

/** Below this the room of a file system that refuses to write counts as used up. */
const NO_ROOM_BYTES = 4 * 1024 * 1024

/**
 * The error of a write that the server refused without a reason: the protocol has none for a full disk, so the server is
 * asked how much room there is.
 */
export async function fromWriteError(
  error: unknown,
  session: SftpSession,
  place: SftpPlace,
  key: string,
): Promise<Error> {
  if (statusOf(error) === SFTP_STATUS.failure && session.extensions.has('statvfs@openssh.com')) {
    const room = await session.room(place.root).catch(() => undefined)
    if (room !== undefined && room.freeBytes < NO_ROOM_BYTES) return diskFull(error, place, key)
  }
  return fromSftpError(error, place, 'put', key)
}

function diskFull(cause: unknown, place: SftpPlace, key: string): WalgError {
  return new WalgError(
    'DISK_FULL',
    `unable to put object "${key}" in storage "${place.name}": no space left under "${place.root}" on "${place.host}"`,
    {
      facts: { key, storage: place.name },
      cause,
      hint: 'free some space or enlarge the file system on that server, then run the command again',
    },
  )
}

/** Translates an answer of the server where it is first seen. `doing` is a verb such as `read`; an empty key means the root. */
export function fromSftpError(error: unknown, place: SftpPlace, doing: string, key: string): Error {
  const status = statusOf(error)
  if (error instanceof WalgError || status === undefined) {
    return error instanceof Error ? error : new Error(String(error))
  }
  if (status === SFTP_STATUS.noSuchFile && key === '')
    return rootMissing(place, 'there is no such directory', error)
  if (status === SFTP_STATUS.noSuchFile && doing !== 'put') return objectNotFound(key, place, error)
  const what = key === '' ? `the folder "${place.root}"` : `object "${key}"`
  const text = error instanceof Error ? error.message : String(error)
  const message = `unable to ${doing} ${what} in storage "${place.name}" on "${place.host}": ${text}`
  const details = { facts: { key, storage: place.name, status }, cause: error }
  switch (status) {
    case SFTP_STATUS.permissionDenied:
      return new WalgError('ACCESS_DENIED', message, {
        ...details,
        hint: `give the user of SSH_USERNAME access to "${place.root}" on the server`,
      })
    case SFTP_STATUS.badMessage:
      if (doing === 'put') return refuse(key, place.name, 'the server does not take this name', error)
  }
  return new WalgError('STORAGE_UNAVAILABLE', message, {
    ...details,
    hint: 'the server gives no reason: a full disk, a quota or an error of its disk; see its log',
  })
}

export function objectNotFound(key: string, place: SftpPlace, cause?: unknown): WalgError {
  return new WalgError('OBJECT_NOT_FOUND', `object "${key}" not found in storage "${place.name}"`, {
    facts: { key, storage: place.name },
    cause,
  })
}

function rootMissing(place: SftpPlace, reason: string, cause?: unknown): WalgError {
  return new WalgError(
    'STORAGE_ROOT_MISSING',
    `the folder "${place.root}" of storage "${place.name}" on "${place.host}" cannot be used: ${reason}`,
    {
      facts: { storage: place.name, root: place.root },
      cause,
      hint: 'create the folder on the server, or mount the file system it lies on; only backup-push and wal-push create it',
    },
  )
}

/** An object that was gone on with after each lost connection, so many times. */
export function lostTooOften(place: SftpPlace, doing: 'put' | 'read', key: string, times: number): WalgError {
  return new WalgError(
    'STORAGE_UNAVAILABLE',
    `unable to ${doing} object "${key}" in storage "${place.name}": the connection to "${place.host}" was lost ${times} times`,
    {
      facts: { key, storage: place.name },
      hint: 'see whether the network and the server are well, then run the command again',
    },
  )
}
