import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ChangeMap } from '../../../delta/map/change-map.ts'
import { systemClock } from '../../../kit/clock.ts'
import { errnoOf, fromSystemError, hasCode } from '../../../kit/errors.ts'
import { formatLsn, type Lsn } from '../../../postgres/lsn.ts'
import {
  coverWithSummaries,
  parseSummaryName,
  readSummary,
  type SummaryFile,
} from '../../../postgres/wal/wal-summary.ts'
import type { OperationContext } from '../../context.ts'
import type { WalMapResult } from './wal-map.ts'
import { timelinePieces, type WalRange } from './wal-range.ts'

export interface SummaryMapRequest {
  readonly range: WalRange
  readonly walDirectory: string
  /** The server makes summaries now: what is missing at the end will come. */
  readonly isSummarizing: boolean
}

const POLL_MS = 100
/** Without a new summary for so long there will be none. */
const STALL_MS_MAX = 10_000
const WAIT_MS_MAX = 60_000

/** Builds the map of a range from the server's own WAL summaries, after waiting for the last one. */
export async function readSummaryMap(
  context: OperationContext,
  request: SummaryMapRequest,
): Promise<WalMapResult> {
  const directory = join(request.walDirectory, 'summaries')
  const coverage = await waitForCoverage(context, directory, request)
  if (coverage.missing !== undefined) return { map: undefined, reason: coverage.missing }
  const map = new ChangeMap()
  for (const { name } of coverage.files) {
    const path = join(directory, name)
    try {
      readSummary(readFileSync(path), name, map)
    } catch (error) {
      // one may be removed for its age between the listing and now
      const isUnusable = hasCode(error, 'FORMAT_INVALID', 'FORMAT_TRUNCATED', 'CHECKSUM_MISMATCH')
      if (errnoOf(error) === 'ENOENT') return { map: undefined, reason: `WAL summary ${name} has gone` }
      if (isUnusable) return { map: undefined, reason: error.message, isDamage: true }
      throw fromSystemError(error, 'read', path)
    }
  }
  return { map, told: `${coverage.files.length} WAL summaries` }
}

interface Coverage {
  readonly files: readonly SummaryFile[]
  /** Why they do not cover the range. */
  readonly missing: string | undefined
  /** undefined: they never will. */
  readonly reachedLsn: Lsn | undefined
}

async function waitForCoverage(
  { signal, log }: OperationContext,
  directory: string,
  { range, isSummarizing }: SummaryMapRequest,
): Promise<Coverage> {
  const begunMs = performance.now()
  let progressMs = begunMs
  let reachedLsn: Lsn | undefined
  for (let isTold = false; ; ) {
    const coverage = findCoverage(directory, range)
    const nowMs = performance.now()
    const isComing = isSummarizing && coverage.reachedLsn !== undefined
    if (coverage.missing === undefined || !isComing) return coverage
    if (coverage.reachedLsn !== reachedLsn) progressMs = nowMs
    reachedLsn = coverage.reachedLsn
    if (nowMs - progressMs > STALL_MS_MAX || nowMs - begunMs > WAIT_MS_MAX) return coverage
    if (!isTold) log.info('Waiting for the server to sum up the WAL before the backup')
    isTold = true
    await systemClock.sleep(POLL_MS, signal)
  }
}

function findCoverage(directory: string, range: WalRange): Coverage {
  const files = listSummaries(directory)
  const useful: SummaryFile[] = []
  for (const piece of timelinePieces(range)) {
    const cover = coverWithSummaries(files, piece)
    useful.push(...cover.files)
    if (cover.reachedLsn < piece.endLsn) {
      // a summary behind a gap says that the gap stays
      const isFinal = files.some(file => file.timeline === piece.timeline && file.beginLsn > cover.reachedLsn)
      return {
        files: useful,
        missing: `WAL summaries of timeline ${piece.timeline} reach ${formatLsn(cover.reachedLsn)}, not ${formatLsn(piece.endLsn)}`,
        reachedLsn: isFinal ? undefined : cover.reachedLsn,
      }
    }
  }
  return { files: useful, missing: undefined, reachedLsn: range.endLsn }
}

function listSummaries(directory: string): SummaryFile[] {
  try {
    return readdirSync(directory).flatMap(name => parseSummaryName(name) ?? [])
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw fromSystemError(error, 'list', directory)
  }
}
