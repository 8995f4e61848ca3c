import { WalgError } from '../../kit/errors.ts'
import { formatLsn, toLsn } from '../lsn.ts'
import { firstLsnOf, isSegmentName } from '../wal-segment.ts'
import {
  decodePageHeader,
  decodeSegmentHeader,
  FLAG_LONG_HEADER,
  isPlausibleMagic,
  isZeroHeader,
  LONG_HEADER_BYTES,
  majorByMagic,
  SHORT_HEADER_BYTES,
  type WalPageHeader,
} from './wal-page.ts'

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
  /** What has been found so far. */
  readonly fault: SegmentFault | undefined
  /** What was seen; call it once, after the last byte. */
  end(): SegmentReport
}

/** Opens a checker for the segment `name` (24 upper-case hex digits). Throws FORMAT_INVALID for another name. */
export function openSegmentChecker(name: string): SegmentChecker {
  return new PageWalker(name)
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

class PageWalker implements SegmentChecker {
  readonly #name: string
  readonly #timeline: number
  readonly #header = new Uint8Array(LONG_HEADER_BYTES)
  readonly #view = new DataView(this.#header.buffer)
  #held = 0
  /** Where the header that is being gathered begins. */
  #pageAt = 0
  #sizeBytes = 0
  #firstLsn = 0n
  #magic = 0
  #lastTimeline = 0
  #walPageBytes: number | undefined
  #segmentBytes: number | undefined
  #systemIdentifier: bigint | undefined
  #zeroAt: number | undefined
  #fault: SegmentFault | undefined

  constructor(name: string) {
    if (!isSegmentName(name)) throw new WalgError('FORMAT_INVALID', `not a WAL segment name: "${name}"`)
    this.#name = name
    this.#timeline = Number.parseInt(name.slice(0, 8), 16)
  }

  update(bytes: Uint8Array): void {
    const begin = this.#sizeBytes
    const end = begin + bytes.length
    this.#sizeBytes = end
    // a segment at fault is only measured
    while (this.#fault === undefined) {
      if (this.#held === 0) this.#skipPlain(bytes, begin, end)
      const from = this.#pageAt + this.#held
      if (from >= end) return
      const wanted = this.#pageAt === 0 ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES
      const count = Math.min(wanted - this.#held, end - from)
      this.#header.set(bytes.subarray(from - begin, from - begin + count), this.#held)
      this.#held += count
      if (this.#held < wanted) return
      this.#judge()
      this.#held = 0
      if (this.#walPageBytes === undefined) return
      this.#pageAt += this.#walPageBytes
    }
  }

  /** Passes over pages that are as they should be, quickly: a process that checks one segment has no time to warm up. */
  #skipPlain(bytes: Uint8Array, begin: number, end: number): void {
    const pageBytes = this.#walPageBytes
    const segmentBytes = this.#segmentBytes
    if (pageBytes === undefined || segmentBytes === undefined || this.#zeroAt !== undefined) return
    const at = this.#pageAt - begin
    const last = Math.min(end, segmentBytes) - SHORT_HEADER_BYTES
    if ((bytes.byteOffset + at) % 4 !== 0 || this.#pageAt > last) return
    const expected = this.#firstLsn + BigInt(this.#pageAt)
    const count = countPlainPages(
      new Uint32Array(bytes.buffer, bytes.byteOffset + at, (end - this.#pageAt) >>> 2),
      {
        pageBytes,
        pagesMax: Math.floor((last - this.#pageAt) / pageBytes) + 1,
        magic: this.#magic,
        timeline: this.#lastTimeline,
        lsnLow: Number(expected & 0xffffffffn),
        lsnHigh: Number(expected >> 32n),
      },
    )
    this.#pageAt += count * pageBytes
  }

  get fault(): SegmentFault | undefined {
    return this.#fault
  }

  end(): SegmentReport {
    const expected = this.#segmentBytes
    if (this.#fault === undefined && expected === undefined) {
      this.#report('size', this.#sizeBytes, `has ${this.#sizeBytes} bytes, less than one page header`)
    } else if (this.#fault === undefined && this.#sizeBytes !== expected) {
      this.#report('size', this.#sizeBytes, `has ${this.#sizeBytes} bytes, its header says ${expected}`)
    }
    return {
      name: this.#name,
      systemIdentifier: this.#systemIdentifier,
      segmentBytes: expected,
      walPageBytes: this.#walPageBytes,
      majorVersion: majorByMagic(this.#magic),
      sizeBytes: this.#sizeBytes,
      usedBytes: this.#zeroAt ?? this.#sizeBytes,
      fault: this.#fault,
    }
  }

  #judge(): undefined {
    if (this.#pageAt === 0) return this.#judgeFirst()
    if (isZeroHeader(this.#view, 0)) {
      this.#zeroAt ??= this.#pageAt
      return undefined
    }
    if (this.#segmentBytes !== undefined && this.#pageAt >= this.#segmentBytes) return undefined
    const header = decodePageHeader(this.#view, 0)
    if (this.#zeroAt !== undefined) {
      return this.#report(
        'gap',
        this.#zeroAt,
        `has a page of zeros at byte ${this.#zeroAt} before written ones`,
      )
    }
    if (header.magic !== this.#magic) {
      return this.#report('magic', this.#pageAt, `changes its page magic at byte ${this.#pageAt}`)
    }
    if ((header.flags & FLAG_LONG_HEADER) !== 0) {
      return this.#report('header', this.#pageAt, `has a second segment header at byte ${this.#pageAt}`)
    }
    return this.#judgePlace(header)
  }

  #judgeFirst(): undefined {
    const header = decodePageHeader(this.#view, 0)
    const segment = decodeSegmentHeader(this.#view, 0)
    if (isZeroHeader(this.#view, 0))
      return this.#report('header', 0, 'begins with zeros: it was never written')
    if (!isPlausibleMagic(header.magic)) {
      return this.#report('magic', 0, `does not begin with a WAL page (magic ${header.magic.toString(16)})`)
    }
    if ((header.flags & FLAG_LONG_HEADER) === 0 || segment === undefined) {
      return this.#report('header', 0, 'does not begin with a segment header')
    }
    const firstLsn = firstLsnOf(this.#name, segment.segmentBytes)
    if (firstLsn === undefined) {
      return this.#report(
        'address',
        0,
        `has a name that does not fit segments of ${segment.segmentBytes} bytes`,
      )
    }
    this.#magic = header.magic
    this.#segmentBytes = segment.segmentBytes
    this.#walPageBytes = segment.walPageBytes
    this.#systemIdentifier = segment.systemIdentifier
    this.#firstLsn = firstLsn
    return this.#judgePlace(header)
  }

  #judgePlace(header: WalPageHeader): undefined {
    const expected = this.#firstLsn + BigInt(this.#pageAt)
    if (header.pageLsn !== expected) {
      const found = formatLsn(toLsn(header.pageLsn))
      if (header.pageLsn > expected || !this.#isSamePlace(expected - header.pageLsn)) {
        return this.#report('address', this.#pageAt, `holds the page of ${found} at byte ${this.#pageAt}`)
      }
      const state = this.#pageAt === 0 ? 'not written yet' : `written up to byte ${this.#pageAt} only`
      return this.#report('stale', this.#pageAt, `is a recycled file, ${state}: the page of ${found} follows`)
    }
    if (header.timeline > this.#timeline || header.timeline < this.#lastTimeline || header.timeline === 0) {
      const text = `has a page of timeline ${header.timeline} at byte ${this.#pageAt}`
      return this.#report('timeline', this.#pageAt, text)
    }
    this.#lastTimeline = header.timeline
    return undefined
  }

  /** A recycled file has the pages of its older segment at the same offsets. */
  #isSamePlace(distance: bigint): boolean {
    return distance % BigInt(this.#segmentBytes!) === 0n
  }

  #report(kind: SegmentFaultKind, offsetBytes: number, text: string): undefined {
    this.#fault = { kind, offsetBytes, message: `WAL segment ${this.#name} ${text}` }
  }
}

interface PlainPages {
  readonly pageBytes: number
  readonly pagesMax: number
  readonly magic: number
  readonly timeline: number
  readonly lsnLow: number
  readonly lsnHigh: number
}

/** How many pages from the first on have the magic, timeline and address that they should have, and short headers. */
function countPlainPages(words: Uint32Array, expected: PlainPages): number {
  const { pageBytes, pagesMax, magic, timeline, lsnHigh } = expected
  const step = pageBytes >>> 2
  const longFlag = FLAG_LONG_HEADER << 16
  let low = expected.lsnLow
  for (let page = 0, at = 0; page < pagesMax; page++, at += step, low += pageBytes) {
    const first = words[at]!
    const isPlain =
      (first & 0xffff) === magic &&
      (first & longFlag) === 0 &&
      words[at + 1] === timeline &&
      words[at + 2] === low &&
      words[at + 3] === lsnHigh
    if (!isPlain) return page
  }
  return pagesMax
}
