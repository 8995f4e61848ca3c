import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '../../kit/errors.ts'
import { isMarkedReady, listReady, markDone } from '../../postgres/archive-status.ts'
import {
  fittingSegmentBytes,
  isSegmentName,
  isSegmentSize,
  nextSegmentName,
} from '../../postgres/wal-segment.ts'
import { storageIdentity } from '../../storage/storage-identity.ts'
import type { OperationContext } from '../context.ts'
import type { PushRecords } from './push-records.ts'
import type { PushOutcome, WalPusher } from './wal-pusher.ts'

export interface BackgroundOptions {
  readonly walDirectory: string
  readonly records: PushRecords
  /** Files to push at most beside the one that was asked for. */
  readonly filesMax: number
  /** Rename `.ready` to `.done` instead of leaving a record for the server's own push of that file. */
  readonly readyRename: boolean
  /** No new file is begun after this time: the server is waiting for the one it asked for. */
  readonly budgetMs: number
}

/**
 * Pushes the files that PostgreSQL will ask for next, while this process is warm. Success is noted durably, so
 * that the server's own push of them only has to check and acknowledge. A failure is only logged: that push
 * will meet it again and report it.
 */
export async function pushFollowing(
  context: OperationContext,
  pusher: WalPusher,
  asked: string,
  options: BackgroundOptions,
): Promise<number> {
  const deadline = performance.now() + options.budgetMs
  let pushed = 0
  for await (const name of readyAfter(asked, options.walDirectory)) {
    if (pushed >= options.filesMax || performance.now() > deadline || context.signal.aborted) break
    if (options.records.read(name)?.state === 'stored') continue
    const path = join(options.walDirectory, name)
    if (!existsSync(path)) continue
    const outcome = await pushOne(context, pusher, name, path, options)
    if (outcome === 'failed') break
    if (outcome === 'stored') pushed++
  }
  return pushed
}

/**
 * What waits beside the file that was asked for. The segments that follow it come first, and are found by their names: after
 * hours without an archive 100,000 files wait, and listing those takes longer than pushing the few that this process may.
 */
async function* readyAfter(asked: string, walDirectory: string): AsyncGenerator<string> {
  const given = new Set([asked])
  let name = followingSegment(asked, walDirectory)
  while (name !== undefined && (await isMarkedReady(walDirectory, name))) {
    given.add(name)
    yield name
    name = followingSegment(name, walDirectory)
  }
  for (const each of (await listReady(walDirectory)) ?? []) if (!given.has(each)) yield each
}

/** Undefined for anything but a whole segment. */
function followingSegment(name: string, walDirectory: string): string | undefined {
  if (!isSegmentName(name)) return undefined
  const sizeBytes = statSync(join(walDirectory, name), { throwIfNoEntry: false })?.size ?? 0
  if (!isSegmentSize(sizeBytes) || fittingSegmentBytes(name, sizeBytes) !== sizeBytes) return undefined
  return nextSegmentName(name, sizeBytes)
}

async function pushOne(
  context: OperationContext,
  pusher: WalPusher,
  name: string,
  path: string,
  options: BackgroundOptions,
): Promise<PushOutcome['kind'] | 'failed'> {
  try {
    const outcome = await pusher.push(path, { isAhead: true })
    if (options.readyRename) {
      await markDone(options.walDirectory, name)
      return outcome.kind
    }
    if (outcome.kind === 'already-archived') return outcome.kind
    await options.records.write(name, {
      state: 'stored',
      storage: storageIdentity(context.storageDescription),
      key: outcome.key,
      contentHash: outcome.contentHash,
      sizeBytes: outcome.sizeBytes,
      storedSizeBytes: outcome.storedSizeBytes,
    })
    return outcome.kind
  } catch (error) {
    if (hasCode(error, 'CANCELLED') || context.signal.aborted) return 'failed'
    context.log.error(
      `background push of ${name} failed: ${error instanceof Error ? error.message : String(error)}`,
    )
    return 'failed'
  }
}
