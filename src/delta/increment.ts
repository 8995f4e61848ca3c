/**
 * The increment format: one relation segment as its changed pages (storage-format 3.3). Decoded as a stream:
 * header, block numbers, then pages, in whatever pieces they arrive.
 */
import { assert, WalgError } from '../kit/errors.ts'

/** `wi1` and 0x55. */
export const INCREMENT_MAGIC: readonly number[] = [0x77, 0x69, 0x31, 0x55]
export const INCREMENT_HEADER_BYTES = 16
const BLOCK_NUMBER_BYTES = 4
/** Several blocks of any compression: what is passed over at once. */
const LOOK_AHEAD_BYTES = 16 << 20

export interface IncrementHeader {
  /** Size that the whole file had when it was backed up. */
  readonly fileSizeBytes: number
  readonly blocksCount: number
}

/** Where an increment's pages go. */
export interface PageSink {
  /** Called once, before any page, with the numbers of the blocks in their order. */
  begin(header: IncrementHeader, blocks: Uint32Array): void
  /** The next bytes of pages: they belong at `position` of the file; lent until the call returns. */
  write(bytes: Uint8Array, position: number): void
}

export interface IncrementDecoder {
  /** Takes the next bytes of the member. Throws FORMAT_INVALID. */
  write(bytes: Uint8Array): void
  /** Bytes of whole pages that come next and of which `isNeeded` says no; 0 until the head has come. Looks 16 MiB ahead. */
  unneededBytes(isNeeded: (block: number) => boolean): number
  /** Takes so many of them as if they had come. */
  passOver(countBytes: number): void
  /** Throws FORMAT_TRUNCATED unless every page has come. */
  end(): void
}

/** Size of an increment with `blocksCount` pages. */
export function incrementSizeBytes(blocksCount: number, pageBytes: number): number {
  return INCREMENT_HEADER_BYTES + blocksCount * (BLOCK_NUMBER_BYTES + pageBytes)
}

/**
 * The beginning of an increment: header and block numbers, which must be strictly ascending (the original's reverse
 * restore ruins files otherwise). The pages follow in the same order.
 */
export function encodeIncrementHead(fileSizeBytes: number, blocks: Uint32Array): Uint8Array {
  const head = new Uint8Array(INCREMENT_HEADER_BYTES + blocks.length * BLOCK_NUMBER_BYTES)
  const view = new DataView(head.buffer)
  head.set(INCREMENT_MAGIC)
  view.setBigUint64(4, BigInt(fileSizeBytes), true)
  view.setUint32(12, blocks.length, true)
  for (let index = 0; index < blocks.length; index++) {
    assert(index === 0 || blocks[index]! > blocks[index - 1]!, 'block numbers of an increment ascend')
    view.setUint32(INCREMENT_HEADER_BYTES + index * BLOCK_NUMBER_BYTES, blocks[index]!, true)
  }
  return head
}

/**
 * Opens a decoder for a member `name` of `sizeBytes`. A size that disagrees with the count of blocks is refused
 * before any page is written.
 */
export function openIncrementDecoder(
  name: string,
  sizeBytes: number,
  pageBytes: number,
  sink: PageSink,
): IncrementDecoder {
  return new Decoder(name, sizeBytes, pageBytes, sink)
}

class Decoder implements IncrementDecoder {
  readonly #name: string
  readonly #sizeBytes: number
  readonly #pageBytes: number
  readonly #sink: PageSink
  /** Header and block numbers, as far as they have come. */
  #head = new Uint8Array(INCREMENT_HEADER_BYTES)
  #headBytes = 0
  #blocks: Uint32Array | undefined
  /** Bytes of pages handed on. */
  #doneBytes = 0

  constructor(name: string, sizeBytes: number, pageBytes: number, sink: PageSink) {
    this.#name = name
    this.#sizeBytes = sizeBytes
    this.#pageBytes = pageBytes
    this.#sink = sink
  }

  write(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0 && this.#blocks === undefined) rest = this.#takeHead(rest)
    while (rest.length > 0) rest = this.#takePages(rest, this.#blocks!)
  }

  unneededBytes(isNeeded: (block: number) => boolean): number {
    const blocks = this.#blocks ?? new Uint32Array(0)
    const index = Math.floor(this.#doneBytes / this.#pageBytes)
    const end = Math.min(blocks.length, index + Math.ceil(LOOK_AHEAD_BYTES / this.#pageBytes))
    let next = index
    while (next < end && !isNeeded(blocks[next]!)) next++
    return Math.max(0, next * this.#pageBytes - this.#doneBytes)
  }

  passOver(countBytes: number): void {
    this.#doneBytes += countBytes
  }

  end(): void {
    if (this.#blocks === undefined || this.#doneBytes < this.#blocks.length * this.#pageBytes) {
      throw new WalgError('FORMAT_TRUNCATED', `the increment of "${this.#name}" ends early`, {
        facts: { member: this.#name },
      })
    }
  }

  #takeHead(bytes: Uint8Array): Uint8Array {
    const count = Math.min(bytes.length, this.#head.length - this.#headBytes)
    this.#head.set(bytes.subarray(0, count), this.#headBytes)
    this.#headBytes += count
    if (this.#headBytes < this.#head.length) return bytes.subarray(count)
    const header = this.#parseHeader()
    if (this.#head.length === INCREMENT_HEADER_BYTES && header.blocksCount > 0) {
      const whole = new Uint8Array(INCREMENT_HEADER_BYTES + header.blocksCount * BLOCK_NUMBER_BYTES)
      whole.set(this.#head)
      this.#head = whole
      return bytes.subarray(count)
    }
    this.#blocks = this.#parseBlocks(header.blocksCount)
    this.#sink.begin(header, this.#blocks)
    return bytes.subarray(count)
  }

  #parseHeader(): IncrementHeader {
    const head = this.#head
    if (head[0] !== INCREMENT_MAGIC[0] || head[1] !== INCREMENT_MAGIC[1] || head[3] !== INCREMENT_MAGIC[3]) {
      throw this.#invalid('it does not begin like an increment')
    }
    if (head[2] !== INCREMENT_MAGIC[2]) {
      throw new WalgError('FORMAT_UNSUPPORTED', `the increment of "${this.#name}" has an unknown version`, {
        facts: { member: this.#name },
        hint: 'a newer program wrote this backup: use that one to restore it',
      })
    }
    const view = new DataView(head.buffer, head.byteOffset)
    const fileSizeBytes = view.getBigUint64(4, true)
    if (fileSizeBytes > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#invalid(`file size ${fileSizeBytes}`)
    const blocksCount = view.getUint32(12, true)
    const wantedBytes = incrementSizeBytes(blocksCount, this.#pageBytes)
    if (wantedBytes !== this.#sizeBytes) {
      const told = `${blocksCount} pages of ${this.#pageBytes} bytes`
      throw this.#invalid(`${told} take ${wantedBytes} bytes, the member has ${this.#sizeBytes}`)
    }
    return { fileSizeBytes: Number(fileSizeBytes), blocksCount }
  }

  #parseBlocks(count: number): Uint32Array {
    const view = new DataView(this.#head.buffer, this.#head.byteOffset + INCREMENT_HEADER_BYTES)
    const blocks = new Uint32Array(count)
    for (let i = 0; i < count; i++) blocks[i] = view.getUint32(i * BLOCK_NUMBER_BYTES, true)
    return blocks
  }

  /** Hands on as many bytes as belong together: pages of neighbouring blocks in one call. */
  #takePages(bytes: Uint8Array, blocks: Uint32Array): Uint8Array {
    const index = Math.floor(this.#doneBytes / this.#pageBytes)
    if (index >= blocks.length) throw this.#invalid('bytes follow its last page')
    const within = this.#doneBytes - index * this.#pageBytes
    let last = index
    while (
      last + 1 < blocks.length &&
      blocks[last + 1] === blocks[last]! + 1 &&
      (last + 1 - index) * this.#pageBytes - within < bytes.length
    ) {
      last++
    }
    const count = Math.min(bytes.length, (last + 1 - index) * this.#pageBytes - within)
    this.#sink.write(bytes.subarray(0, count), blocks[index]! * this.#pageBytes + within)
    this.#doneBytes += count
    return bytes.subarray(count)
  }

  #invalid(what: string): WalgError {
    return new WalgError('FORMAT_INVALID', `the increment of "${this.#name}" is damaged: ${what}`, {
      facts: { member: this.#name },
    })
  }
}
