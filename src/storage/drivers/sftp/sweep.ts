import { temporaryTimeMs } from '../../keys.ts'
import { type SftpEntry, type SftpSession, statusOf } from './session.ts'

/** Both the name and the last change of a temporary must be this old before anybody may take it for abandoned. */
const STALE_AFTER_MS = 24 * 60 * 60 * 1000

/** Decides by lot, one in `oneIn`, from the random end of the temporary's name, as the `fs` driver does. */
export function isDrawn(temporaryPath: string, oneIn: number): boolean {
  return Number.parseInt(temporaryPath.slice(-8), 16) % oneIn === 0
}

/**
 * Removes the stale temporaries of one folder: names of the exact form, regular files, untouched for a day. What cannot
 * be removed stays, and never fails the object that has just been stored.
 */
export async function sweepFolder(
  session: SftpSession,
  folder: string,
  nowMs: number = Date.now(),
): Promise<number> {
  const isStale = ({ name, kind, modifiedNs }: SftpEntry): boolean => {
    const limitMs = nowMs - STALE_AFTER_MS
    return (
      kind === 'file' && (temporaryTimeMs(name) ?? nowMs) <= limitMs && Number(modifiedNs) / 1e6 <= limitMs
    )
  }
  let removed = 0
  try {
    const handle = await session.openFolder(folder)
    const stale: string[] = []
    for (
      let batch = await session.readFolder(handle);
      batch !== undefined;
      batch = await session.readFolder(handle)
    ) {
      stale.push(...batch.filter(isStale).map(entry => entry.name))
    }
    await session.closeHandle(handle)
    for (const name of stale) {
      await session.remove(`${folder}/${name}`)
      removed++
    }
  } catch (error) {
    if (statusOf(error) === undefined) throw error
  }
  return removed
}
