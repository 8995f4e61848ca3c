import type { Dirent } from 'node:fs'
import { errnoOf } from '../../../kit/errors.ts'
import { call, type FileSteps } from '../../../kit/file-steps.ts'
import { temporaryTimeMs } from '../../keys.ts'

/** Both the name and the last change of a temporary must be this old before anybody may take it for abandoned. */
const STALE_AFTER_MS = 24 * 60 * 60 * 1000

/**
 * Decides by lot, one in `oneIn`, from the random end of the temporary's name: reading a folder of 100,000 segments
 * for each new one would cost more than the segment.
 */
export function isDrawn(temporaryPath: string, oneIn: number): boolean {
  return Number.parseInt(temporaryPath.slice(-8), 16) % oneIn === 0
}

/** What a folder had. */
export interface SweptFolder {
  /** Temporaries that are gone now. */
  readonly removed: number
  /** Everything that is no temporary. */
  readonly others: number
}

/**
 * Removes the stale temporaries of one folder: names of the exact form, regular files, untouched for a day. Age is
 * the only proof that holds when writers run on several hosts, and a running writer touches its file all the time.
 * Housekeeping: what cannot be removed stays, and never fails the object that has just been stored.
 */
export function* sweepFolder(folder: string, nowMs: number = Date.now()): FileSteps<SweptFolder> {
  let removed = 0
  const names = yield* namesIn(folder)
  const temporaries = names.filter(name => temporaryTimeMs(name) !== undefined)
  for (const name of temporaries.filter(name => isOldByName(name, nowMs))) {
    try {
      const stat = yield* call('lstat', `${folder}/${name}`)
      if (!stat.isFile() || Number(stat.mtimeMs) > nowMs - STALE_AFTER_MS) continue
      yield* call('unlink', `${folder}/${name}`)
      removed++
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
    }
  }
  return { removed, others: names.length - temporaries.length }
}

function* namesIn(folder: string): FileSteps<string[]> {
  let entries: Dirent[]
  try {
    entries = yield* call('readdir', folder)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return []
  }
  return entries.map(entry => entry.name)
}

function isOldByName(name: string, nowMs: number): boolean {
  return (temporaryTimeMs(name) ?? nowMs) <= nowMs - STALE_AFTER_MS
}
