import type { ByteStream } from '../../kit/bytes.ts'
import type { ControlFile } from '../control-file.ts'
import type { Lsn } from '../lsn.ts'
import { firstLsnOf } from '../wal-segment.ts'
import {
  decodePageHeader,
  decodeSegmentHeader,
  LONG_HEADER_BYTES,
  type WalSegmentHeader,
} from './wal-page.ts'

/** Something to look for in one segment of the WAL, which tells a `T`. */
export interface WalPlace<T> {
  /** An LSN within the segment. */
  readonly lsn: Lsn
  /** Which bytes of the segment are wanted. */
  stretch(sizes: { readonly segmentBytes: number; readonly walPageBytes: number }): {
    readonly from: number
    readonly to: number
  }
  judge(pages: Uint8Array, segment: WalSegmentHeader, timeline: number): T | Unreadable
}

export interface Unreadable {
  readonly kind: 'unreadable'
  readonly reason: string
}

/** The bytes of a segment that a place wants, and those that tell which segment it is. */
export class SegmentPiece<T> {
  /** To be filled, each with the segment's bytes from `from` on. */
  readonly wanted: readonly { readonly from: number; readonly bytes: Uint8Array }[]
  readonly #name: string
  readonly #place: WalPlace<T>
  readonly #control: ControlFile
  readonly #head = new Uint8Array(LONG_HEADER_BYTES)
  readonly #pages: Uint8Array

  constructor(name: string, place: WalPlace<T>, control: ControlFile) {
    const { walSegmentBytes: segmentBytes, walBlockBytes: walPageBytes } = control
    const { from, to } = place.stretch({ segmentBytes, walPageBytes })
    this.#name = name
    this.#place = place
    this.#control = control
    this.#pages = new Uint8Array(to - from)
    this.wanted = [
      { from: 0, bytes: this.#head },
      { from, bytes: this.#pages },
    ]
  }

  /** Fills it from a whole segment, as far as that is needed. */
  async takeFrom(stream: ByteStream): Promise<void> {
    const end = Math.max(...this.wanted.map(({ from, bytes }) => from + bytes.length))
    let at = 0
    for await (const chunk of stream) {
      for (const { from, bytes } of this.wanted) {
        const begin = Math.max(from, at)
        const count = Math.min(from + bytes.length, at + chunk.length) - begin
        if (count > 0) bytes.set(chunk.subarray(begin - at, begin - at + count), begin - from)
      }
      at += chunk.length
      if (at >= end) return
    }
  }

  judge(): T | Unreadable {
    const { systemIdentifier, walSegmentBytes, walBlockBytes } = this.#control
    const view = new DataView(this.#head.buffer)
    const segment = decodeSegmentHeader(view, 0)
    const isOurs =
      segment?.systemIdentifier === systemIdentifier &&
      segment.segmentBytes === walSegmentBytes &&
      segment.walPageBytes === walBlockBytes &&
      decodePageHeader(view, 0).pageLsn === firstLsnOf(this.#name, walSegmentBytes)
    if (!isOurs) return { kind: 'unreadable', reason: 'it does not begin like that segment of this cluster' }
    return this.#place.judge(this.#pages, segment, Number.parseInt(this.#name.slice(0, 8), 16))
  }
}
