import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  fittingSegmentBytes,
  formatSegmentName,
  nextSegment,
  parseSegmentName,
} from '../../postgres/wal-segment.ts'
import type { PrefetchPlace } from './prefetch-origin.ts'

export interface PrefetchPlanOptions {
  /** The segment that was just fetched. */
  readonly name: string
  /** Segments to hold ready ahead of it. */
  readonly depth: number
  readonly segmentBytes: number
}

/** The names that follow, on the same timeline. A size that the name does not fit is not that of the cluster. */
export function planPrefetch(options: PrefetchPlanOptions): string[] {
  const names: string[] = []
  const segmentBytes = fittingSegmentBytes(options.name, options.segmentBytes)
  let segment = parseSegmentName(options.name, segmentBytes)
  for (let count = 0; count < options.depth; count++) {
    segment = nextSegment(segment)
    names.push(formatSegmentName(segment, segmentBytes))
  }
  return names
}

/** True while one of the nearer half lies neither ready nor in a prefetcher's hands: then a new one is worth its start. */
export function needsPrefetch({ folder }: PrefetchPlace, options: PrefetchPlanOptions): boolean {
  return planPrefetch({ ...options, depth: Math.ceil(options.depth / 2) }).some(
    name => !existsSync(join(folder, name)) && !existsSync(join(folder, 'running', name)),
  )
}
