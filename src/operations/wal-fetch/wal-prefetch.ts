import { statSync } from 'node:fs'
import { errnoOf, hasCode } from '../../kit/errors.ts'
import type { StorageDescription } from '../../storage/description.ts'
import type { OperationContext } from '../context.ts'
import { type Downloader, downloadWal, removeFile } from './download.ts'
import { openPrefetchFolder, type PrefetchFolder } from './prefetch-folder.ts'
import { type PrefetchBase, prefetchPlace } from './prefetch-origin.ts'
import { planPrefetch } from './prefetch-plan.ts'
import { removeStaleTemporaries } from './temporary.ts'
import { openDownloader } from './wal-fetch.ts'

export interface WalPrefetchOptions {
  /** The segment that was just fetched. */
  readonly name: string
  readonly base: PrefetchBase
  /** Where fetches put their files: what killed ones have left there is cleared away. */
  readonly destinationDirectory?: string
  /** Segments to hold ready ahead of `name`. */
  readonly depth: number
  readonly segmentBytes: number
  /** As for the fetch that takes the files. */
  readonly archives?: readonly StorageDescription[]
}

export interface WalPrefetchResult {
  readonly fetched: readonly string[]
}

/**
 * Fetches the segments that recovery will ask for next and clears away those it has passed. Several may run at
 * once: each segment is written by the one that creates its running file. Ends at the first segment that is not
 * in the archive.
 */
export async function walPrefetch(
  context: OperationContext,
  options: WalPrefetchOptions,
): Promise<WalPrefetchResult> {
  const downloader = openDownloader(context)
  const archives = options.archives ?? [context.storageDescription]
  const folder = openPrefetchFolder(prefetchPlace(options.base, archives), downloader.hasher)
  const fetched: string[] = []
  folder.removeOlder(options.name)
  if (options.destinationDirectory !== undefined) removeStaleTemporaries(options.destinationDirectory)
  for (const name of planPrefetch(options)) {
    if (!mayWrite(options.base) || context.signal.aborted) break
    if (folder.has(name)) continue
    const outcome = await prefetchOne(downloader, folder, name)
    if (outcome === 'missing') break
    if (outcome === 'fetched') fetched.push(name)
  }
  return { fetched }
}

async function prefetchOne(
  downloader: Downloader,
  folder: PrefetchFolder,
  name: string,
): Promise<'fetched' | 'missing' | 'elsewhere'> {
  const path = folder.runningPath(name)
  try {
    const downloaded = await downloadWal(downloader, name, path, {
      isDurable: false,
      hasher: downloader.hasher(),
    })
    if (downloaded.unfinished !== undefined) {
      // whether it may be delivered is for the fetch to say
      removeFile(path)
      return 'missing'
    }
    return folder.publish(name, downloaded) ? 'fetched' : 'elsewhere'
  } catch (error) {
    if (hasCode(error, 'WAL_NOT_FOUND')) return 'missing'
    if (isTakenByAnother(error)) return 'elsewhere'
    throw error
  }
}

function isTakenByAnother(error: unknown): boolean {
  return hasCode(error, 'FILE_ACCESS') && errnoOf(error.cause) === 'EEXIST'
}

/** A server that was removed meanwhile must not be brought back as an empty directory; what a setting names is made. */
function mayWrite({ directory, isShared }: PrefetchBase): boolean {
  return isShared || statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true
}
