import { WalgError } from '../../kit/errors.ts'

/** What is wrong with a segment. `stale`: pages of an older segment that was recycled under this name. */
export type SegmentFaultKind = 'size' | 'header' | 'magic' | 'address' | 'stale' | 'timeline' | 'gap'

export interface SegmentFault {
  readonly kind: SegmentFaultKind
  /** Of the page at fault. */
  readonly offsetBytes: number
  /** Lower case, names the segment. */
  readonly message: string
}

export interface SegmentReport {
  readonly name: string
  /** From the segment's own long page header; undefined when that is not readable. */
  readonly systemIdentifier: bigint | undefined
  readonly segmentBytes: number | undefined
  readonly walPageBytes: number | undefined
  /** PostgreSQL major that writes this page magic; undefined for one that is not known. */
  readonly majorVersion: number | undefined
  readonly sizeBytes: number
  /** Bytes up to the first page that is all zeros; the size when there is none. */
  readonly usedBytes: number
  /** The first thing found wrong; undefined: whole and what its name says. */
  readonly fault: SegmentFault | undefined
}

/** Looks at a segment's pages while its bytes pass by; keeps some header bytes only. */
export interface SegmentChecker {
  /** Takes the next bytes, in any pieces. */
  update(bytes: Uint8Array): void
  /** What was seen; call it once, after the last byte. */
  end(): SegmentReport
}

/** Opens a checker for the segment `name` (24 upper-case hex digits). Throws FORMAT_INVALID for another name. */
export function openSegmentChecker(name: string): SegmentChecker {
  throw new WalgError('NOT_AVAILABLE', `the check of segment "${name}" is not there yet`)
}

/** Throws WAL_INVALID with the fault's message when the report has one. */
export function assertSegment(report: SegmentReport): void {
  const { fault, name } = report
  if (fault === undefined) return
  throw new WalgError('WAL_INVALID', fault.message, {
    facts: { name, kind: fault.kind, offset: fault.offsetBytes },
  })
}

/** Checks a segment that is in memory. */
export function checkSegment(bytes: Uint8Array, name: string): SegmentReport {
  const checker = openSegmentChecker(name)
  checker.update(bytes)
  return checker.end()
}
