import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoOf, WalgError } from '../../kit/errors.ts'
import { checkSegment } from '../../postgres/wal/page-reader.ts'
import { endsInZeros } from '../../postgres/wal/segment-tail.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import type { Downloaded, Downloader } from './download.ts'
import { findLater } from './later-segment.ts'

/**
 * PostgreSQL would end recovery at a missing segment and promote, although the archive goes on behind it: INTEGRITY. A segment that
 * lies in its own pg_wal is not missing: that is where it looks next.
 */
export async function refuseHole(
  downloader: Downloader,
  { name, destination, segmentBytes }: { name: string; destination: string; segmentBytes: number },
): Promise<void> {
  if (!isSegmentName(name)) return
  const later = await findLater(downloader, name, segmentBytes)
  if (later === undefined) return
  const { storage, log } = downloader.context
  const own = join(dirname(destination), name)
  if (await isWholeSegment(own, name)) {
    log.info(`'${name}' is not in the archive, but in pg_wal: "${own}"`)
    return
  }
  throw new WalgError(
    'INTEGRITY',
    `Archive '${name}' does not exist, but '${later}' does: WAL is missing in between`,
    {
      facts: { name, later, storage: storage.name },
      hint: 'bring the segment back into the archive or into pg_wal, from a copy of the archive or a server that still has it; to end recovery here on purpose, set a recovery target that lies before it, or WALG_FETCH_ERROR_EXIT_CODE=1',
    },
  )
}

/** Throws WAL_INVALID where the archive goes on behind a segment that was never finished: recovery would end before its time. */
export async function judgeUnfinished(
  downloader: Downloader,
  name: string,
  { unfinished, sizeBytes }: Downloaded,
): Promise<void> {
  if (unfinished === undefined) return
  const what = `WAL segment ${name} ${unfinished.message}`
  const later = await findLater(downloader, name, sizeBytes)
  const { log, storage } = downloader.context
  if (later === undefined) {
    log.warning(`${what}: WAL ends there, and so will a recovery`)
    return
  }
  throw new WalgError('WAL_INVALID', `${what}; but '${later}' is archived, so that this one was finished`, {
    facts: { name, later, storage: storage.name },
    hint: 'the archive has an unfinished copy of the segment: replace it by the whole one, from a copy of the archive or a server that still has it',
  })
}

/** True for the whole segment; false, too, for one that cannot be read. */
async function isWholeSegment(path: string, name: string): Promise<boolean> {
  try {
    const bytes = readFileSync(path)
    const report = checkSegment(bytes, name)
    if (report.fault !== undefined) return false
    const read = (into: Uint8Array, from: number): void => into.set(bytes.subarray(from, from + into.length))
    if (!endsInZeros(report, read)) return true
    const { judgeZeroTail } = await import('../../postgres/wal/zero-tail.ts')
    return judgeZeroTail(report, read) === undefined
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return false
  }
}
