import { hasCode, WalgError } from '../../kit/errors.ts'
import { firstLsnOf } from '../../postgres/wal-segment.ts'
import { walKey } from '../../repository/layout.ts'
import { type FoundPayload, findPayload } from '../../repository/sealed.ts'
import type { Downloader } from './download.ts'
import { planPrefetch } from './prefetch-plan.ts'

/** A longer hole is not told from the end of WAL: a look at every name would make each end of recovery slow. */
const SUCCESSORS_LOOKED_FOR = 16

/**
 * The first of the names that follow which is in the archive. A file that PostgreSQL had only kept for later, with the pages of
 * an older segment, is none: whoever pushes the whole pg_wal of a dead server archives those as well.
 */
export async function findLater(
  downloader: Downloader,
  name: string,
  segmentBytes: number,
): Promise<string | undefined> {
  const { context, codec } = downloader
  const options = { firstExtension: codec.extension, signal: context.signal }
  for (const later of planPrefetch({ name, depth: SUCCESSORS_LOOKED_FOR, segmentBytes })) {
    const found = await findPayload(context.storage, walKey(later, ''), options)
    if (found !== null && !(await isRecycled(downloader, later, found))) return later
  }
  return undefined
}

/** Only what can be read proves that; anything else counts as the segment that it is called. */
async function isRecycled(
  { context, codec }: Downloader,
  name: string,
  found: FoundPayload,
): Promise<boolean> {
  try {
    // seldom needed, and no part of what every fetch loads
    const { readSegmentHeader } = await import('../../repository/recovery/recovery-points.ts')
    const { pageLsn, segmentBytes } = await readSegmentHeader(
      context.storage,
      codec,
      { name, ...found },
      context,
    )
    return pageLsn < firstLsnOf(name, segmentBytes)!
  } catch (error) {
    if (!(error instanceof WalgError) || hasCode(error, 'CANCELLED')) throw error
    return false
  }
}
