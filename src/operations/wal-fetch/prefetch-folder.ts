import {
  closeSync,
  constants,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoOf, fromSystemError, hasCode } from '../../kit/errors.ts'
import { syncPath } from '../../kit/file-system.ts'
import type { Hasher } from '../../kit/hash.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import { walKey } from '../../repository/layout.ts'
import { type Downloaded, removeFile } from './download.ts'
import { placeFile } from './place-file.ts'
import { isPlaceName, type PrefetchPlace } from './prefetch-origin.ts'
import { temporaryBeside } from './temporary.ts'

/**
 * Segments fetched ahead of time: `<base>/.wal-g/prefetch/<segment>`, with `running/<segment>` beside them while a
 * prefetcher writes it; in a directory that clusters may share in `prefetch/<archive>/`, which stands for the storages: of
 * another cluster nothing is taken, and nothing removed before it is a day old. Beside a finished segment lies `<segment>.check` with its archive, key,
 * size and content hash: a file without one, or with another content, is not ours to trust (a power cut leaves
 * such files behind) and is fetched again. It is a cache: a folder or file of another user, or of another kind, is
 * as good as none for whoever fetches. What the original has put there is never delivered, and cleared away as recovery
 * passes it.
 */
export interface PrefetchFolder {
  /** Moves a trusted prefetched segment to `destination`. false: there is none; go and fetch it. */
  take(name: string, destination: string, options: { readonly isDurable: boolean }): boolean
  /** Size of the file that a prefetcher is writing for `name`, undefined when none is. */
  runningBytes(name: string): number | undefined
  /** Path for a new file of a prefetcher, after making the folders. */
  runningPath(name: string): string
  /** Publishes a downloaded running file. false: another prefetcher was first, or a fetch has taken it over. */
  publish(name: string, downloaded: Downloaded): boolean
  has(name: string): boolean
  /** Removes segments before `name` and running files that nobody has written to for ten minutes. */
  removeOlder(name: string): void
}

/** What vouches for a prefetched file. */
interface Check extends Downloaded {
  readonly origin: string
  readonly key: string
}

const STALE_RUNNING_MS = 10 * 60 * 1000
const STALE_PLACE_MS = 24 * 60 * 60 * 1000
const CHECK_SUFFIX = '.check'
const RUNNING = 'running'
const READ_BYTES = 1 << 18

export function openPrefetchFolder(place: PrefetchPlace, hasher: () => Hasher): PrefetchFolder {
  const { folder, shared, origin } = place
  const running = join(folder, RUNNING)
  return {
    take(name, destination, options): boolean {
      if (shared !== folder && sizeOf(join(shared, name)) !== undefined) discard(shared, name)
      const path = join(folder, name)
      if (sizeOf(path) === undefined) return false
      const check = readCheck(path + CHECK_SUFFIX, { origin, key: walKey(name, '') })
      if (check === undefined || !isUnchanged(path, check, hasher())) {
        discard(folder, name)
        return false
      }
      if (!placePrefetched(path, destination, options)) return false
      removeIfOurs(path)
      removeIfOurs(path + CHECK_SUFFIX)
      return true
    },
    runningBytes: name => sizeOf(join(running, name)),
    runningPath(name): string {
      try {
        mkdirSync(running, { recursive: true, mode: 0o700 })
      } catch (error) {
        throw fromSystemError(error, 'create', running)
      }
      return join(running, name)
    },
    publish(name, downloaded): boolean {
      if (sizeOf(join(folder, name)) !== undefined) {
        removeFile(join(running, name))
        return false
      }
      const check: Check = { ...downloaded, origin, key: walKey(name, '') }
      writeFileSync(join(folder, name + CHECK_SUFFIX), JSON.stringify(check), { mode: 0o600 })
      try {
        renameSync(join(running, name), join(folder, name))
        return true
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error
        removeFile(join(folder, name + CHECK_SUFFIX))
        return false
      }
    },
    has: name => sizeOf(join(folder, name)) !== undefined,
    removeOlder(name): void {
      for (const each of [folder, shared]) {
        removeFiles(each, segment => segment < name)
        removeFiles(join(each, RUNNING), (_, path) => ageMs(path) > STALE_RUNNING_MS)
      }
      for (const other of namesIn(shared)) {
        const path = join(shared, other)
        if (isPlaceName(other) && path !== folder) removeStalePlace(path)
      }
    },
  }
}

function discard(folder: string, name: string): void {
  for (const path of [join(folder, name), join(folder, name + CHECK_SUFFIX), join(folder, RUNNING, name)])
    removeIfOurs(path)
}

function removeFiles(folder: string, isOld: (segment: string, path: string) => boolean): void {
  for (const entry of namesIn(folder)) {
    const path = join(folder, entry)
    const segment = entry.endsWith(CHECK_SUFFIX) ? entry.slice(0, -CHECK_SUFFIX.length) : entry
    if (isSegmentName(segment) && isOld(segment, path)) removeIfOurs(path)
  }
}

/** What another archive's recovery has left: that of a server which still runs is younger, or fetched once more. */
function removeStalePlace(folder: string): void {
  for (const each of [join(folder, RUNNING), folder]) {
    removeFiles(each, (_, path) => ageMs(path) > STALE_PLACE_MS)
    if (ageMs(each) <= STALE_PLACE_MS || namesIn(each).length > 0) continue
    try {
      rmdirSync(each)
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
    }
  }
}

/** false: the file has gone, or cannot be moved there. */
function placePrefetched(
  path: string,
  destination: string,
  options: { readonly isDurable: boolean },
): boolean {
  const temporary = temporaryBeside(destination)
  try {
    if (isOnSameDevice(path, dirname(destination))) {
      placeFile(path, destination, options)
    } else {
      copyFileSync(path, temporary, constants.COPYFILE_EXCL)
      if (options.isDurable) syncPath(temporary)
      placeFile(temporary, destination, options)
    }
    return true
  } catch (error) {
    if (errnoOf(error) === undefined && !hasCode(error, 'FILE_NOT_FOUND', 'FILE_ACCESS')) throw error
    return false
  } finally {
    removeIfOurs(temporary)
  }
}

function isOnSameDevice(path: string, other: string): boolean {
  return statSync(path).dev === statSync(other).dev
}

function removeIfOurs(path: string): void {
  try {
    removeFile(path)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
  }
}

/** Undefined, too, for one that speaks of another archive's file. */
function readCheck(path: string, wanted: Pick<Check, 'origin' | 'key'>): Check | undefined {
  try {
    const check = JSON.parse(readFileSync(path, 'utf8')) as Partial<Check> | null
    const isWhole = typeof check?.sizeBytes === 'number' && typeof check.contentHash === 'string'
    const isWanted = check?.origin === wanted.origin && check.key === wanted.key
    return isWhole && isWanted ? (check as Check) : undefined
  } catch (error) {
    if (errnoOf(error) !== undefined || error instanceof SyntaxError) return undefined
    throw error
  }
}

function isUnchanged(path: string, check: Downloaded, hasher: Hasher): boolean {
  if (sizeOf(path) !== check.sizeBytes) return false
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return false // taken by another fetch meanwhile, or not for us to read
  }
  try {
    const chunk = new Uint8Array(READ_BYTES)
    hasher.reset()
    for (;;) {
      const count = readSync(descriptor, chunk, 0, chunk.length, null)
      if (count === 0) return hasher.digest() === check.contentHash
      hasher.update(chunk.subarray(0, count))
    }
  } finally {
    closeSync(descriptor)
  }
}

/** Of a regular file that can be seen. */
function sizeOf(path: string): number | undefined {
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    return stats?.isFile() === true ? stats.size : undefined
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return undefined
  }
}

function ageMs(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? 0 : Date.now() - stats.mtimeMs
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return []
  }
}
