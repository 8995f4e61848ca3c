import { closeSync } from 'node:fs'
import { incrementSizeBytes } from '../../../delta/increment.ts'
import { PageSelector } from '../../../delta/page-selection.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { openFile, readInto } from '../part/file-reading.ts'
import type { FilePlan } from './file-plan.ts'

export interface DeltaSize {
  /** Uncompressed, of everything that a full backup holds. */
  readonly fullBytes: number
  /** The same of the delta. */
  readonly deltaBytes: number
  /** Some of it was estimated from a sample of pages. */
  readonly isEstimated: boolean
}

export interface SizeInput {
  readonly entries: DataEntries
  readonly isFile: (index: number) => boolean
  readonly plan: FilePlan
  readonly pageBytes: number
  readonly sinceLsn: bigint
}

/** Pages looked at for an estimate, of one file and of all together. */
const SAMPLE_PAGES_MAX = 64
const SAMPLES_MAX = 65_536

/**
 * How large the delta will be: exact where a block map names the pages, else estimated by looking at pages spread over each
 * file that has changed.
 */
export function measureDelta(input: SizeInput): DeltaSize {
  const { entries, isFile, plan, pageBytes } = input
  let fullBytes = 0
  let deltaBytes = 0
  let isEstimated = false
  let samplesLeft = SAMPLES_MAX
  for (let index = 0; index < entries.count; index++) {
    if (!isFile(index)) continue
    const sizeBytes = entries.sizeBytes(index)
    fullBytes += sizeBytes
    const method = plan.method(index)
    if (method === 'whole') deltaBytes += sizeBytes
    else if (method === 'skip') continue
    else if (method === 'blocks') deltaBytes += incrementSizeBytes(plan.blocks(index)!.length, pageBytes)
    else {
      isEstimated = true
      const count = Math.min(SAMPLE_PAGES_MAX, sizeBytes / pageBytes, samplesLeft)
      samplesLeft -= count
      deltaBytes += sizeBytes * (count === 0 ? 1 : changedShare(input, index, count))
    }
  }
  return { fullBytes, deltaBytes: Math.round(deltaBytes), isEstimated }
}

/** Share of changed pages among `count` that are spread evenly over a file. */
function changedShare(
  { entries, plan, pageBytes, sinceLsn }: SizeInput,
  index: number,
  count: number,
): number {
  const path = entries.path(index)
  const fd = openFile(path)
  if (fd === undefined) return 0
  const selector = new PageSelector(pageBytes, sinceLsn)
  const page = new Uint8Array(pageBytes)
  const blocks = entries.sizeBytes(index) / pageBytes
  let looked = 0
  selector.begin(plan.parent(index), plan.method(index) === 'scan visible')
  try {
    for (; looked < count; looked++) {
      const block = Math.floor((looked * blocks) / count)
      if (readInto({ fd, path, position: block * pageBytes }, page, 0, pageBytes) < pageBytes) break
      selector.judge(page, block)
      if (selector.isWhole) return 1
    }
  } finally {
    closeSync(fd)
  }
  return looked === 0 ? 0 : selector.end().blocks.length / looked
}
