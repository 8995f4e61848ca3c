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
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { randomHex } from '../../kit/atomic-file.ts'
import { errnoOf, fromSystemError, hasCode } from '../../kit/errors.ts'
import { syncPath } from '../../kit/file-system.ts'
import type { Hasher } from '../../kit/hash.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import { type Downloaded, removeFile } from './download.ts'
import { placeFile } from './place-file.ts'

/**
 * Segments fetched ahead of time, in the original's place: `<base>/.wal-g/prefetch/<segment>`, with
 * `running/<segment>` while a prefetcher writes it. Beside a finished segment lies `<segment>.check` with its
 * size and content hash: a file without one, or with another content, is not ours to trust (a power cut leaves
 * such files behind) and is fetched again. It is a cache: a folder or file of another user, or of another kind, is
 * as good as none for whoever fetches.
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
  discard(name: string): void
  /** Removes segments before `name` and running files that nobody has written to for ten minutes. */
  removeOlder(name: string): void
}

const STALE_RUNNING_MS = 10 * 60 * 1000
const CHECK_SUFFIX = '.check'
const READ_BYTES = 1 << 18

export function openPrefetchFolder(baseDirectory: string, hasher: () => Hasher): PrefetchFolder {
  const folder = join(baseDirectory, '.wal-g', 'prefetch')
  const running = join(folder, 'running')
  const discard = (name: string): void => {
    for (const path of [join(folder, name), join(folder, name + CHECK_SUFFIX), join(running, name)])
      removeIfOurs(path)
  }
  return {
    take(name, destination, options): boolean {
      const path = join(folder, name)
      const check = readCheck(path + CHECK_SUFFIX)
      if (sizeOf(path) === undefined) return false
      if (check === undefined || !isUnchanged(path, check, hasher())) {
        discard(name)
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
      writeFileSync(join(folder, name + CHECK_SUFFIX), JSON.stringify(downloaded), { mode: 0o600 })
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
    discard,
    removeOlder(name): void {
      for (const entry of namesIn(folder)) {
        const segment = entry.endsWith(CHECK_SUFFIX) ? entry.slice(0, -CHECK_SUFFIX.length) : entry
        if (isSegmentName(segment) && segment < name) removeIfOurs(join(folder, entry))
      }
      for (const entry of namesIn(running)) {
        if (isSegmentName(entry) && ageMs(join(running, entry)) > STALE_RUNNING_MS)
          removeIfOurs(join(running, entry))
      }
    },
  }
}

/** false: the file has gone, or cannot be moved there. */
function placePrefetched(
  path: string,
  destination: string,
  options: { readonly isDurable: boolean },
): boolean {
  const temporary = join(dirname(destination), `.${basename(destination)}.${randomHex()}.wal-g-tmp`)
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

function readCheck(path: string): Downloaded | undefined {
  try {
    const check = JSON.parse(readFileSync(path, 'utf8')) as Partial<Downloaded> | null
    const isWhole = typeof check?.sizeBytes === 'number' && typeof check.contentHash === 'string'
    return isWhole ? (check as Downloaded) : undefined
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
