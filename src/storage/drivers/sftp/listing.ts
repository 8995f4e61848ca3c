import { throwIfCancelled } from '../../../kit/clock.ts'
import { isTemporaryName, joinKey } from '../../keys.ts'
import type { ListOptions, StorageEntry } from '../../storage.ts'
import type { ListedNames } from '../../temporary-uploads.ts'
import type { SftpLink } from './link.ts'
import { checkAbsence, fromSftpError, pathOf, type SftpPlace, unlessMissing } from './place.ts'
import { SFTP_STATUS, type SftpEntry, type SftpHandle, type SftpSession, statusOf } from './session.ts'

/** Requests for entries under way at a time; OpenSSH answers each with a hundred. */
const READS_AT_ONCE = 8

interface OpenedFolder {
  readonly session: SftpSession
  readonly handle: SftpHandle
  /** Read in the session in which the folder was opened: so a folder is either not begun or under way. */
  readonly first: readonly SftpEntry[] | undefined
}

/**
 * Lists a folder, or everything below it. Regular files are objects; temporaries, sockets and the like are not there. With
 * `temporaries` those are what is there, and no other files.
 */
export async function* listFolder(
  link: SftpLink,
  place: SftpPlace,
  prefix: string,
  options: ListOptions,
  names: ListedNames = 'objects',
): AsyncGenerator<StorageEntry> {
  const waiting = [prefix]
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const opened = await openFolder(link, place, folder, options)
    if (opened === undefined) continue
    for await (const batch of readBatches(opened, place, folder)) {
      throwIfCancelled(options.signal)
      options.onProgress?.()
      for (const entry of batch) {
        const isTemporary = isTemporaryName(entry.name)
        if (names === 'objects' ? isTemporary : !isTemporary && entry.kind !== 'folder') continue
        const found = await lookAt(opened.session, place, folder, entry)
        if (found === undefined) continue
        if (found.kind === 'prefix' && options.recursive === true) waiting.push(found.key)
        else yield found
      }
    }
  }
}

/** Undefined when nobody wrote to it. */
async function openFolder(
  link: SftpLink,
  place: SftpPlace,
  prefix: string,
  options: ListOptions,
): Promise<OpenedFolder | undefined> {
  return link.run(async session => {
    try {
      const handle = await session.openFolder(pathOf(place, prefix))
      return { session, handle, first: await session.readFolder(handle) }
    } catch (error) {
      await checkAbsence(session, place, prefix, error)
      if (prefix !== '' && statusOf(error) !== undefined) {
        const found = await unlessMissing(session.stat(pathOf(place, prefix)))
        if (found === undefined || found.kind !== 'folder') return undefined
      }
      throw fromSftpError(error, place, 'list', prefix)
    }
  }, options.signal)
}

async function* readBatches(
  { session, handle, first }: OpenedFolder,
  place: SftpPlace,
  prefix: string,
): AsyncGenerator<readonly SftpEntry[]> {
  try {
    if (first === undefined) return
    yield first
    const reads: Promise<SftpEntry[] | undefined>[] = []
    for (;;) {
      while (reads.length < READS_AT_ONCE) {
        const read = session.readFolder(handle)
        read.catch(() => {})
        reads.push(read)
      }
      const batch = await reads.shift()
      if (batch === undefined) {
        await Promise.allSettled(reads)
        return
      }
      yield batch
    }
  } catch (error) {
    throw fromSftpError(error, place, 'list', prefix)
  } finally {
    if (!session.isLost) await session.closeHandle(handle)
  }
}

async function lookAt(
  session: SftpSession,
  place: SftpPlace,
  prefix: string,
  entry: SftpEntry,
): Promise<StorageEntry | undefined> {
  const key = joinKey(prefix, entry.name)
  let { kind, sizeBytes, modifiedNs } = entry
  if (kind === 'link') {
    const target = await followed(session, pathOf(place, key))
    // a link to a folder could lead in a circle
    if (target?.kind !== 'file') return undefined
    ;({ kind, sizeBytes, modifiedNs } = target)
  }
  if (kind === 'folder') return { kind: 'prefix', key }
  return kind === 'file' ? { kind: 'object', key, sizeBytes, modifiedNs } : undefined
}

/** What a link leads to; undefined when nowhere. */
async function followed(session: SftpSession, path: string): Promise<Omit<SftpEntry, 'name'> | undefined> {
  try {
    return await session.stat(path)
  } catch (error) {
    if (statusOf(error) === SFTP_STATUS.noSuchFile || statusOf(error) === SFTP_STATUS.failure)
      return undefined
    throw error
  }
}
