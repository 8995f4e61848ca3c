import { dirname, join } from 'node:path'
import type { StorageDescription } from '../../storage/description.ts'
import { exactIdentity } from '../../storage/storage-identity.ts'

/** The directory below which prefetched segments wait. */
export interface PrefetchBase {
  readonly directory: string
  /** It was named by a setting: servers of several archives may have the same. */
  readonly isShared: boolean
}

/** Where the segments of one archive wait. */
export interface PrefetchPlace {
  /** `<base>/.wal-g/prefetch`: the original keeps its files here. */
  readonly shared: string
  /** Folder of this archive's files: the same, or in a directory that others may have, too, one of its own in it. */
  readonly folder: string
  /** The archive, in words: stands in every check beside a file. */
  readonly origin: string
}

/** `given`: the directory of the setting; without one it is that of `destination`. */
export function prefetchBase(given: string | undefined, destination: string): PrefetchBase {
  return given === undefined
    ? { directory: dirname(destination), isShared: false }
    : { directory: given, isShared: true }
}

/** `archives`: all storages that a file may come from, in any order. */
export function prefetchPlace(
  { directory, isShared }: PrefetchBase,
  archives: readonly StorageDescription[],
): PrefetchPlace {
  const origin = [...new Set(archives.map(exactIdentity))].sort().join('\n')
  const shared = join(directory, '.wal-g', 'prefetch')
  return { shared, folder: isShared ? join(shared, placeName(origin)) : shared, origin }
}

/**
 * FNV-1a of 64 bits: to load a better hash would cost each fetch a millisecond. Were two archives to get one name, they would only
 * remove what the other has prefetched: the check knows the whole origin.
 */
function placeName(origin: string): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of Buffer.from(origin)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, '0')
}

const PLACE_NAME = /^[0-9a-f]{16}$/

/** True for a name that `prefetchPlace` gives to folders. */
export function isPlaceName(name: string): boolean {
  return PLACE_NAME.test(name)
}
