const QUOTE = 0x22
const BACKSLASH = 0x5c
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * Builds JSON text as bytes in one buffer: a line for each of a million files without a million strings. `take` hands
 * out what is there and begins anew.
 */
export class JsonBytes {
  #bytes: Uint8Array
  #used = 0

  constructor(capacityBytes: number = 1 << 18) {
    this.#bytes = new Uint8Array(capacityBytes)
  }

  get usedBytes(): number {
    return this.#used
  }

  /** Text as it stands. */
  text(text: string): this {
    this.#reserve(3 * text.length)
    const bytes = this.#bytes
    const begin = this.#used
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code > 0x7f) {
        this.#used = begin + encoder.encodeInto(text, bytes.subarray(begin)).written
        return this
      }
      bytes[begin + at] = code
    }
    this.#used = begin + text.length
    return this
  }

  /** A whole number, exact up to 2^53. */
  number(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) return this.text(String(value))
    this.#reserve(16)
    let end = this.#used + 1
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end++
    let rest = value
    for (let at = end - 1; at >= this.#used; at--) {
      const tenth = Math.floor(rest / 10)
      this.#bytes[at] = 0x30 + (rest - 10 * tenth)
      rest = tenth
    }
    this.#used = end
    return this
  }

  /** UTF-8 in `source[from … to)` as a quoted string. */
  quoted(source: Uint8Array, from: number, to: number): this {
    this.#reserve(to - from + 2)
    const bytes = this.#bytes
    let used = this.#used
    bytes[used++] = QUOTE
    for (let at = from; at < to; at++) {
      const byte = source[at]!
      // what needs an escape is rare
      if (byte < 0x20 || byte === QUOTE || byte === BACKSLASH) {
        return this.text(JSON.stringify(decoder.decode(source.slice(from, to))))
      }
      bytes[used++] = byte
    }
    bytes[used++] = QUOTE
    this.#used = used
    return this
  }

  /** The bytes so far, lent until something is added. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#used)
    this.#used = 0
    return taken
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#used + bytes))
    larger.set(this.#bytes.subarray(0, this.#used))
    this.#bytes = larger
  }
}
