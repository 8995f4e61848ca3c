import { existsSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { openCodec } from '../../codec/open-codec.ts'
import { systemClock } from '../../kit/clock.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import { type Hasher, openHasher } from '../../kit/hash.ts'
import { createLinearMemory } from '../../kit/linear-memory.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import type { StorageDescription } from '../../storage/description.ts'
import type { OperationContext } from '../context.ts'
import { type CreatedTablespaces, treatCreatedTablespaces } from './created-tablespaces.ts'
import { type Downloaded, type Downloader, downloadWal, removeFile } from './download.ts'
import { judgeUnfinished, refuseHole } from './end-of-wal.ts'
import { destinationTaken, placeFile } from './place-file.ts'
import { openPrefetchFolder, type PrefetchFolder } from './prefetch-folder.ts'
import { prefetchBase, prefetchPlace } from './prefetch-origin.ts'
import { removeStaleTemporaries, temporaryBeside } from './temporary.ts'

export interface WalFetchOptions {
  /** Archive name: a segment, `TTTTTTTT.history`, a backup label or a partial segment. */
  readonly name: string
  /** Absolute, or relative to the working directory (the server's data directory under restore_command). */
  readonly destination: string
  /** Where `.wal-g/prefetch` lies; default: the destination's directory. */
  readonly prefetchDirectory: string | undefined
  /** false: what was prefetched stays where it is (default true). */
  readonly takesPrefetched?: boolean
  /** All storages that the archive is kept in (default: the context's); what was prefetched from others is not taken. */
  readonly archives?: readonly StorageDescription[]
  /** No prefetcher clears away what killed fetches have left beside the destination: this one does, now and then. */
  readonly clearsAway?: boolean
  /**
   * Bytes of a segment when a missing one would be taken for the end of WAL (recovery, not a standby): then one
   * that is missing before others is INTEGRITY instead of WAL_NOT_FOUND. Undefined: not looked for.
   */
  readonly holesOfSegmentBytes?: number | undefined
  /** Default `as-recorded`. */
  readonly createdTablespaces?: CreatedTablespaces
}

export interface WalFetchResult {
  readonly name: string
  readonly destination: string
  readonly isPrefetched: boolean
}

/** Files that PostgreSQL itself renames durably, after an fsync, when it keeps them. */
const SYNCED_BY_SERVER: ReadonlySet<string> = new Set(['RECOVERYXLOG', 'RECOVERYHISTORY'])
const POLL_MS = 2
const POLLS_WITHOUT_GROWTH_MAX = 100
const WAIT_FOR_RUNNING_MS_MAX = 60_000
/** One segment in sixteen: to list a pg_wal of ten thousand files takes 5 ms. */
const SWEPT_AFTER = /^[0-9A-F]{23}0$/

/**
 * Brings one archived file to `destination`, whole and checked, or leaves nothing there.
 * Throws WAL_NOT_FOUND (positively not in the archive), INTEGRITY (a hole), TARGET_NOT_EMPTY (the destination, or the place of a
 * tablespace that it creates), damage and storage errors.
 */
export async function walFetch(context: OperationContext, options: WalFetchOptions): Promise<WalFetchResult> {
  const result = await fetchToDestination(context, options)
  const { name, destination } = result
  if (isSegmentName(name)) {
    try {
      treatCreatedTablespaces(destination, {
        name,
        destination,
        mode: options.createdTablespaces ?? 'as-recorded',
      })
    } catch (error) {
      removeFile(destination)
      throw error
    }
  }
  if (options.clearsAway === true && SWEPT_AFTER.test(name)) removeStaleTemporaries(dirname(destination))
  return result
}

async function fetchToDestination(
  context: OperationContext,
  options: WalFetchOptions,
): Promise<WalFetchResult> {
  const { name } = options
  checkName(name)
  const destination = resolve(options.destination)
  checkDestination(destination)
  const placing = { isDurable: !SYNCED_BY_SERVER.has(basename(destination)) }
  const downloader = openDownloader(context)
  const archives = options.archives ?? [context.storageDescription]
  const waiting = prefetchPlace(prefetchBase(options.prefetchDirectory, destination), archives)
  const folder = openPrefetchFolder(waiting, downloader.hasher)

  if (isSegmentName(name) && options.takesPrefetched !== false) {
    await waitForRunning(context, folder, name)
    if (folder.take(name, destination, placing)) return { name, destination, isPrefetched: true }
  }
  const temporary = temporaryBeside(destination)
  let downloaded: Downloaded
  try {
    downloaded = await downloadWal(downloader, name, temporary, placing)
  } catch (error) {
    if (hasCode(error, 'WAL_NOT_FOUND') && options.holesOfSegmentBytes !== undefined) {
      await refuseHole(downloader, { name, destination, segmentBytes: options.holesOfSegmentBytes })
    }
    throw error
  }
  try {
    await judgeUnfinished(downloader, name, downloaded)
    placeFile(temporary, destination, placing)
  } finally {
    removeFile(temporary)
  }
  return { name, destination, isPrefetched: false }
}

/** One memory, codec and hasher for all files that this process fetches. */
export function openDownloader(context: OperationContext): Downloader {
  const memory = createLinearMemory()
  let hasher: Hasher | undefined
  return {
    context,
    codec: openCodec(context.codecDescription, memory),
    hasher(): Hasher {
      hasher ??= openHasher(memory)
      return hasher
    },
  }
}

function checkName(name: string): void {
  if (name === '' || name.includes('/') || name.includes('\0') || name.startsWith('.')) {
    throw new WalgError('USAGE', `not the name of an archived file: "${name}"`, {
      hint: 'restore_command should be: wal-g wal-fetch %f %p',
    })
  }
}

function checkDestination(destination: string): void {
  const directory = dirname(destination)
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new WalgError('FILE_NOT_FOUND', `unable to create "${destination}": no such directory`, {
      hint: 'a relative destination counts from the working directory; under restore_command that is the data directory',
    })
  }
  if (existsSync(destination)) throw destinationTaken(destination)
}

/** A prefetcher at work is waited for as long as its file grows: fetching twice would be slower. */
async function waitForRunning(
  context: OperationContext,
  folder: PrefetchFolder,
  name: string,
): Promise<void> {
  const deadline = performance.now() + WAIT_FOR_RUNNING_MS_MAX
  let lastBytes = -1
  let pollsWithoutGrowth = 0
  while (performance.now() < deadline) {
    const bytes = folder.runningBytes(name)
    if (bytes === undefined) return
    pollsWithoutGrowth = bytes > lastBytes ? 0 : pollsWithoutGrowth + 1
    lastBytes = Math.max(bytes, lastBytes)
    if (pollsWithoutGrowth > POLLS_WITHOUT_GROWTH_MAX) return
    await systemClock.sleep(POLL_MS, context.signal)
  }
}
