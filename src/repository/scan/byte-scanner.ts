const QUOTE = 0x22
const BACKSLASH = 0x5c
/** Numbers of more digits are left to parsers that have big integers. */
const DIGITS_MAX = 15

/**
 * Reads JSON that is in exactly the expected form, byte by byte and without allocating: each method steps over what
 * it names, or says false, and then the general parser has to take the same bytes.
 */
export class ByteScanner {
  /** Where the text of the last `scanText` lies. */
  textFrom = 0
  textTo = 0
  /** The value of the last `scanNumber`. */
  number = 0
  at = 0
  #bytes: Uint8Array
  #end: number

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#bytes = bytes
    this.#end = bytes.length
  }

  /** Begins with `bytes[from … to)`. */
  begin(bytes: Uint8Array, from: number, to: number): void {
    this.#bytes = bytes
    this.at = from
    this.#end = to
  }

  isAtEnd(): boolean {
    return this.at === this.#end
  }

  skip(byte: number): boolean {
    if (this.at === this.#end || this.#bytes[this.at] !== byte) return false
    this.at += 1
    return true
  }

  skipAll(expected: Uint8Array): boolean {
    if (this.at + expected.length > this.#end) return false
    for (let index = 0; index < expected.length; index += 1) {
      if (this.#bytes[this.at + index] !== expected[index]) return false
    }
    this.at += expected.length
    return true
  }

  /** A string of plain ASCII without escapes. */
  scanText(): boolean {
    if (!this.skip(QUOTE)) return false
    for (let at = this.at; at < this.#end; at += 1) {
      const byte = this.#bytes[at]!
      if (byte === QUOTE) {
        this.textFrom = this.at
        this.textTo = at
        this.at = at + 1
        return true
      }
      if (byte === BACKSLASH || byte < 0x20 || byte >= 0x7f) return false
    }
    return false
  }

  /** A whole number of at most 15 digits. */
  scanNumber(): boolean {
    const from = this.at
    let value = 0
    for (; this.at < this.#end; this.at += 1) {
      const digit = this.#bytes[this.at]! - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    this.number = value
    const length = this.at - from
    const hasLeadingZero = length > 1 && this.#bytes[from] === 0x30
    return length > 0 && length <= DIGITS_MAX && !hasLeadingZero
  }

  /** The last text as a string. */
  text(): string {
    return new TextDecoder('latin1').decode(this.#bytes.subarray(this.textFrom, this.textTo))
  }
}

/** The expected bytes of a fixed text. */
export function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
