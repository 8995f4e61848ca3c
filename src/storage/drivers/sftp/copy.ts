import { throwIfCancelled } from '../../../kit/clock.ts'
import type { Abortable, ObjectInfo } from '../../storage.ts'
import type { SftpLink } from './link.ts'
import { fromWriteError, pathOf, type SftpPlace } from './place.ts'
import type { SftpSession } from './session.ts'
import {
  discard,
  giveName,
  openTemporary,
  syncFile,
  syncFolder,
  syncFoldersAbove,
  type Temporary,
} from './temporary.ts'

/** The server copies so many bytes per request: it says nothing meanwhile. */
const COPY_BYTES = 64 * 1024 * 1024

/** Copies an object on the server, into a temporary, begun anew when the connection is lost. */
export async function copyObject(
  link: SftpLink,
  place: SftpPlace,
  source: ObjectInfo,
  target: string,
  options: Abortable,
): Promise<void> {
  const temporary = await link.run(
    session => copyToTemporary(session, place, source, target, options),
    options.signal,
  )
  await link.run(async (session, attempt) => {
    await giveName(session, place, temporary, { isRepeated: attempt > 1 })
    await syncFolder(session, temporary.folder)
  })
}

async function copyToTemporary(
  session: SftpSession,
  place: SftpPlace,
  source: ObjectInfo,
  target: string,
  options: Abortable,
): Promise<Temporary> {
  const from = await session.open(pathOf(place, source.key), 'r')
  const { temporary, handle } = await openTemporary(session, place, target, {})
  try {
    for (let at = 0; at < source.sizeBytes; at += COPY_BYTES) {
      throwIfCancelled(options.signal)
      await session.copyData(from, handle, at, Math.min(COPY_BYTES, source.sizeBytes - at))
      options.onProgress?.()
    }
    await syncFile(session, handle)
    await syncFoldersAbove(session, place, temporary.folder)
    return temporary
  } catch (error) {
    const failure = await fromWriteError(error, session, place, target)
    if (!session.isLost) await discard(session, temporary)
    throw failure
  } finally {
    if (!session.isLost) await Promise.all([session.closeHandle(from), session.closeHandle(handle)])
  }
}
