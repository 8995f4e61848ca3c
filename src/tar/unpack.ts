/**
 * Reads tar incrementally out of borrowed blocks: USTAR, GNU (long names, base-256 numbers), PAX extended and
 * global headers (storage-format 1.6). Nothing is copied but headers that lie across two blocks.
 */
import { assert, WalgError } from '../kit/errors.ts'
import { readTarHeader, type UnpackedMember } from './header.ts'
import { applyPaxRecords, type PaxRecords, parsePaxRecords } from './pax.ts'

export type { UnpackedMember } from './header.ts'

/**
 * What `step` found: the header of a member; the next bytes of its content; its end; or that the fed block is
 * used up.
 */
export type TarStep = 'member' | 'data' | 'member-end' | 'need-block'

export interface TarReader {
  /** The current member; valid from step `member` to step `member-end`. */
  readonly member: UnpackedMember
  /** The bytes of step `data`: a view of the fed block, lent until the next step. Never empty. */
  readonly data: Uint8Array
  /** Lends the next block of the stream; legal at the start and after `need-block`. */
  feed(block: Uint8Array): void
  /** Throws FORMAT_INVALID, FORMAT_TRUNCATED or FORMAT_UNSUPPORTED. */
  step(): TarStep
  /** Content of the current member still to come. */
  readonly leftBytes: number
  /** After `need-block` and instead of a block: so much of the current member's content was not even made. */
  passOver(countBytes: number): void
  /**
   * Call it at the end of the stream. An archive may end without its closing zero blocks, or inside the padding of
   * its last member. Throws FORMAT_TRUNCATED when a header or content is cut.
   */
  finish(): void
}

const BLOCK_BYTES = 512
/** PAX records and long names beyond this are damage, not names. */
const EXTENSION_BYTES_MAX = 1 << 20

type State = 'header' | 'content' | 'padding' | 'extension' | 'tail'

/** Opens a reader; `archive` is the name used in messages. */
export function createTarReader(archive: string): TarReader {
  return new Reader(archive)
}

class Reader implements TarReader {
  readonly #archive: string
  #block: Uint8Array = new Uint8Array(0)
  #at = 0
  #state: State = 'header'
  #member: UnpackedMember | undefined
  #data: Uint8Array = this.#block
  /** Bytes of content (or extension) still to come. */
  #leftBytes = 0
  #paddingBytes = 0
  /** A header that began in an earlier block. */
  readonly #partial = new Uint8Array(BLOCK_BYTES)
  #partialBytes = 0
  #extension: Uint8Array = this.#block
  #extensionFlag = ''
  #globals: PaxRecords = new Map()
  #records: PaxRecords | undefined
  #longName: Uint8Array | undefined
  #longLinkName: Uint8Array | undefined

  constructor(archive: string) {
    this.#archive = archive
  }

  get member(): UnpackedMember {
    return this.#member!
  }

  get data(): Uint8Array {
    return this.#data
  }

  feed(block: Uint8Array): void {
    this.#block = block
    this.#at = 0
  }

  get leftBytes(): number {
    return this.#state === 'content' ? this.#leftBytes : 0
  }

  passOver(countBytes: number): void {
    assert(countBytes <= this.leftBytes && this.#at === this.#block.length, 'only content is passed over')
    this.#leftBytes -= countBytes
  }

  step(): TarStep {
    for (;;) {
      if (this.#state === 'content') {
        if (this.#leftBytes === 0) return this.#endMember()
        if (this.#at === this.#block.length) return 'need-block'
        return this.#takeData()
      }
      if (this.#at === this.#block.length) return 'need-block'
      if (this.#state === 'padding') this.#skipPadding()
      else if (this.#state === 'extension') this.#takeExtension()
      else if (this.#state === 'tail') this.#checkTail()
      else if (this.#takeHeader()) return 'member'
    }
  }

  finish(): void {
    if (this.#state === 'content') {
      throw this.#truncated(`the content of "${this.#member!.name}" lacks ${this.#leftBytes} bytes`)
    }
    if (this.#state === 'extension') throw this.#truncated('an extended header is cut')
    if (this.#state === 'header') {
      if (this.#records !== undefined || this.#longName !== undefined || this.#longLinkName !== undefined) {
        throw this.#truncated('the member behind an extended header is missing')
      }
      if (!this.#partial.subarray(0, this.#partialBytes).every(byte => byte === 0)) {
        throw this.#truncated('a header is cut')
      }
    }
  }

  #endMember(): TarStep {
    this.#state = this.#paddingBytes === 0 ? 'header' : 'padding'
    return 'member-end'
  }

  #takeData(): TarStep {
    const count = Math.min(this.#leftBytes, this.#block.length - this.#at)
    this.#data = this.#block.subarray(this.#at, this.#at + count)
    this.#at += count
    this.#leftBytes -= count
    return 'data'
  }

  #skipPadding(): void {
    const count = Math.min(this.#paddingBytes, this.#block.length - this.#at)
    this.#at += count
    this.#paddingBytes -= count
    if (this.#paddingBytes === 0) this.#state = 'header'
  }

  /** After the first zero block nothing but zeros may follow. */
  #checkTail(): void {
    const block = this.#block
    for (let at = this.#at; at < block.length; at++) {
      if (block[at] !== 0) throw this.#invalid('bytes other than zero follow the end of the archive')
    }
    this.#at = block.length
  }

  /** Returns true when a member begins. */
  #takeHeader(): boolean {
    if (this.#partialBytes === 0 && this.#block.length - this.#at >= BLOCK_BYTES) {
      const at = this.#at
      this.#at += BLOCK_BYTES
      return this.#openHeader(this.#block, at)
    }
    const count = Math.min(BLOCK_BYTES - this.#partialBytes, this.#block.length - this.#at)
    this.#partial.set(this.#block.subarray(this.#at, this.#at + count), this.#partialBytes)
    this.#at += count
    this.#partialBytes += count
    if (this.#partialBytes < BLOCK_BYTES) return false
    this.#partialBytes = 0
    return this.#openHeader(this.#partial, 0)
  }

  #openHeader(bytes: Uint8Array, at: number): boolean {
    const header = readTarHeader(bytes, at, this.#archive)
    if (header === null) {
      this.#state = 'tail'
      return false
    }
    if ('xgLK'.includes(header.typeFlag)) {
      this.#openExtension(header.typeFlag, header.sizeBytes)
      return false
    }
    const member = applyPaxRecords(header, this.#globals, this.#records, this.#archive)
    if (this.#longName !== undefined) member.rename(this.#longName)
    if (this.#longLinkName !== undefined) member.relink(this.#longLinkName)
    this.#records = undefined
    this.#longName = undefined
    this.#longLinkName = undefined
    if (member.name.includes('..') && member.name.split('/').includes('..')) {
      throw this.#invalid(`the member "${member.name}" climbs out of the archive`)
    }
    this.#member = member
    this.#leftBytes = member.sizeBytes
    this.#paddingBytes = padding(member.sizeBytes)
    this.#state = 'content'
    return true
  }

  #openExtension(flag: string, sizeBytes: number): void {
    if (sizeBytes > EXTENSION_BYTES_MAX) {
      throw this.#invalid(`an extended header of ${sizeBytes} bytes is longer than ${EXTENSION_BYTES_MAX}`)
    }
    this.#extension = new Uint8Array(sizeBytes)
    this.#extensionFlag = flag
    this.#leftBytes = sizeBytes
    this.#paddingBytes = padding(sizeBytes)
    this.#state = 'extension'
    if (sizeBytes === 0) this.#closeExtension()
  }

  #takeExtension(): void {
    const count = Math.min(this.#leftBytes, this.#block.length - this.#at)
    this.#extension.set(
      this.#block.subarray(this.#at, this.#at + count),
      this.#extension.length - this.#leftBytes,
    )
    this.#at += count
    this.#leftBytes -= count
    if (this.#leftBytes === 0) this.#closeExtension()
  }

  #closeExtension(): void {
    const content = this.#extension
    if (this.#extensionFlag === 'L') this.#longName = untilNul(content)
    else if (this.#extensionFlag === 'K') this.#longLinkName = untilNul(content)
    else {
      const records = parsePaxRecords(content, this.#archive)
      if (this.#extensionFlag === 'x') this.#records = records
      else this.#globals = new Map([...this.#globals, ...records])
    }
    this.#state = this.#paddingBytes === 0 ? 'header' : 'padding'
  }

  #invalid(what: string): WalgError {
    return new WalgError('FORMAT_INVALID', `"${this.#archive}" is damaged: ${what}`, {
      facts: { archive: this.#archive },
    })
  }

  #truncated(what: string): WalgError {
    return new WalgError('FORMAT_TRUNCATED', `"${this.#archive}" ends early: ${what}`, {
      facts: { archive: this.#archive },
    })
  }
}

function padding(sizeBytes: number): number {
  const rest = sizeBytes % BLOCK_BYTES
  return rest === 0 ? 0 : BLOCK_BYTES - rest
}

function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0)
  return end < 0 ? bytes : bytes.subarray(0, end)
}
