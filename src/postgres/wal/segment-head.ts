import { firstLsnOf, isSegmentName } from '../wal-segment.ts'
import {
  decodePageHeader,
  decodeSegmentHeader,
  FLAG_LONG_HEADER,
  isPlausibleMagic,
  LONG_HEADER_BYTES,
} from './wal-page.ts'

/** What the first bytes of a segment file say. */
export interface SegmentHead {
  /** Undefined: these are not the first bytes of a segment. */
  readonly systemIdentifier: bigint | undefined
  /** Why the file is no whole segment of this name, lower case; undefined: nothing speaks against it. */
  readonly fault: string | undefined
}

/** Judges the first bytes (40 are enough) of the file `name`, which has `sizeBytes`. For a name with an ending only the header counts. */
export function judgeSegmentHead(name: string, head: Uint8Array, sizeBytes: number): SegmentHead {
  const none = (fault: string): SegmentHead => ({ systemIdentifier: undefined, fault })
  if (head.length < LONG_HEADER_BYTES) return none(`has ${sizeBytes} bytes, less than one page header`)
  const view = new DataView(head.buffer, head.byteOffset, head.length)
  const { magic, flags, pageLsn } = decodePageHeader(view, 0)
  const segment = (flags & FLAG_LONG_HEADER) === 0 ? undefined : decodeSegmentHeader(view, 0)
  if (!isPlausibleMagic(magic) || segment === undefined)
    return none('does not begin with the header of a segment')
  const { systemIdentifier, segmentBytes } = segment
  return { systemIdentifier, fault: isSegmentName(name) ? faultOf() : undefined }

  function faultOf(): string | undefined {
    if (sizeBytes !== segmentBytes) return `has ${sizeBytes} bytes, its header says ${segmentBytes}`
    return firstLsnOf(name, segmentBytes) === pageLsn ? undefined : 'holds the pages of another segment'
  }
}
