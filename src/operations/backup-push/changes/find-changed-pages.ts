import type { ChangedPages } from '../../../delta/changed-pages.ts'
import { openMappedPages } from '../../../delta/map/mapped-pages.ts'
import { WalgError } from '../../../kit/errors.ts'
import { formatLsn } from '../../../postgres/lsn.ts'
import type { OperationContext } from '../../context.ts'
import { readSummaryMap } from './summary-map.ts'
import { type MapFailure, readWalMap, type WalMapResult } from './wal-map.ts'
import type { WalRange } from './wal-range.ts'

/** How changed blocks may be found (`WALG_CHANGED_BLOCKS`, `WALG_USE_WAL_DELTA`, `WALG_FORCE_WAL_DELTA`). */
export interface ChangesOptions {
  readonly method: 'auto' | 'summaries' | 'wal' | 'scan'
  readonly usesWal: boolean
  /** Without a map the backup fails. */
  readonly isForced: boolean
  readonly walSegmentBytes: number
  readonly walPageBytes: number
  /** Of data. */
  readonly pageBytes: number
}

export interface ChangesRequest {
  readonly options: ChangesOptions
  readonly range: WalRange
  readonly majorVersion: number
  readonly systemIdentifier: bigint
  readonly walDirectory: string
  /** Bytes of the data directory, about: more WAL than that is not fetched. */
  readonly dataBytes: number
  readonly isSummarizing: () => Promise<boolean>
}

type Way = 'summaries' | 'wal'

/** The ways to try, in order; none: every page of changed files is read. */
export function planWays({ method, usesWal }: ChangesOptions, majorVersion: number): readonly Way[] {
  switch (method) {
    case 'scan':
      return []
    case 'summaries':
    case 'wal':
      return [method]
    case 'auto':
      return [...(majorVersion >= 17 ? (['summaries'] as const) : []), ...(usesWal ? (['wal'] as const) : [])]
  }
}

/**
 * Finds out which blocks changed without reading them; undefined when only reading can tell, which is said. Throws DELTA_BASE_INVALID
 * when that was forbidden.
 */
export async function findChangedPages(
  context: OperationContext,
  request: ChangesRequest,
): Promise<ChangedPages | undefined> {
  const { log } = context
  const { range, options, majorVersion } = request
  const span = `${formatLsn(range.beginLsn)} to ${formatLsn(range.endLsn)}`
  const reasons: MapFailure[] = []
  for (const way of planWays(options, majorVersion)) {
    const result = await (way === 'summaries' ? summaryMap(context, request) : walMap(context, request))
    if (result.map !== undefined) {
      for (const { reason, isDamage } of reasons) if (isDamage) log.warning(reason)
      log.info(`Changed blocks from ${span} are known from ${result.told}`)
      return openMappedPages(result.map, result.told, options.pageBytes)
    }
    reasons.push(result)
  }
  const { method, usesWal, isForced } = options
  const reason =
    reasons.length > 0 ? reasons.map(each => each.reason).join('; ') : whyNoWay(method, majorVersion)
  if (isForced) {
    throw new WalgError('DELTA_BASE_INVALID', `Failed to load delta map from previous backup: ${reason}`, {
      hint: 'take a full backup, or let the delta read every changed file: WALG_FORCE_WAL_DELTA=false',
    })
  }
  const isAsked = method === 'auto' ? usesWal : method !== 'scan'
  if (isAsked || reasons.some(each => each.isDamage))
    log.warning(`Changed blocks are not known: ${reason}. Fallback to full scan delta backup`)
  else log.info(`Changed blocks are found by reading changed files: ${reason}`)
  return undefined
}

function whyNoWay(method: ChangesOptions['method'], majorVersion: number): string {
  if (method === 'scan') return 'WALG_CHANGED_BLOCKS is scan'
  return `PostgreSQL ${majorVersion} has no WAL summaries, and WALG_USE_WAL_DELTA is not set`
}

async function summaryMap(context: OperationContext, request: ChangesRequest): Promise<WalMapResult> {
  const { range, walDirectory, isSummarizing } = request
  return await readSummaryMap(context, { range, walDirectory, isSummarizing: await isSummarizing() })
}

async function walMap(context: OperationContext, request: ChangesRequest): Promise<WalMapResult> {
  const { range, walDirectory, systemIdentifier, options } = request
  return await readWalMap(context, {
    range,
    walDirectory,
    systemIdentifier,
    segmentBytes: options.walSegmentBytes,
    pageBytes: options.walPageBytes,
    archiveBytesMax: options.isForced ? Number.POSITIVE_INFINITY : request.dataBytes,
  })
}
