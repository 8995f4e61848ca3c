import type { ByteStream } from './bytes.ts'
import { WalgError } from './errors.ts'

/**
 * A piece of a large JSON object. `member`: a key with the whole text of its value. `group`: some of the
 * entries of a member whose value is a large object, as the text of an object of its own; an entry whose
 * value is an array may go on in the next group under the same key.
 */
export interface JsonPiece {
  readonly kind: 'member' | 'group'
  readonly key: string
  /** Made when it is asked for, which must be before the next piece. */
  readonly text: string
  /** The UTF-8 bytes of a value, or of the entries of a group without braces; lent until the next piece. */
  readonly body: Uint8Array
  /** Key of the entry whose array began in an earlier group and goes on at the start of `body`. */
  readonly openEntry: string | undefined
  /** The array at the end of `body` goes on in the next group. */
  readonly isEntryCut: boolean
}

export interface JsonSplitOptions {
  /** Keys (as written in the document) whose objects are delivered in groups. */
  isGrouped(key: string): boolean
  /** A group is handed on when it has this size. */
  readonly groupBytes?: number
  /** The most that one member that is not grouped, or one entry, may have. */
  readonly pieceBytesMax?: number
}

const GROUP_BYTES = 1 << 20
const PIECE_BYTES_MAX = 256 << 20

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * Splits one JSON object of any size into pieces, holding one piece at a time. The text of a piece is cut at
 * the borders of the grammar but not itself checked: `JSON.parse` of the piece does that. Throws FORMAT_INVALID,
 * and FORMAT_TRUNCATED when the document ends early.
 */
export async function* splitJson(source: ByteStream, options: JsonSplitOptions): AsyncGenerator<JsonPiece> {
  const splitter = new JsonSplitter(options)
  for await (const chunk of source) {
    splitter.append(chunk)
    yield* splitter.pieces()
  }
  splitter.end()
}

/** Where the scan stands between two members of the document. */
type Place = 'start' | 'key-or-end' | 'key' | 'colon' | 'value' | 'inside' | 'comma-or-end' | 'done'

/** A piece whose text is decoded only for those who want it. */
class Piece implements JsonPiece {
  readonly kind: JsonPiece['kind']
  readonly key: string
  readonly body: Uint8Array
  readonly isEntryCut: boolean
  readonly #opening: string

  constructor(kind: JsonPiece['kind'], key: string, body: Uint8Array, opening = '', isEntryCut = false) {
    this.kind = kind
    this.key = key
    this.body = body
    this.isEntryCut = isEntryCut
    this.#opening = opening
  }

  get text(): string {
    const body = decode(this.body, this.key)
    return this.kind === 'member'
      ? body.replace(SPACE_AT_END, '')
      : `{${this.#opening}${body}${this.isEntryCut ? ']' : ''}}`
  }

  get openEntry(): string | undefined {
    if (this.#opening === '') return undefined
    return Object.keys(parsePiece(`{${this.#opening}]}`) as object)[0]
  }
}

const SPACE_AT_END = /[ \t\n\r]+$/

/** White space of JSON: other control characters are damage (zeros that a power cut left, say). */
function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(bytes: Uint8Array, key: string): string {
  try {
    return decoder.decode(bytes)
  } catch (error) {
    throw new WalgError('FORMAT_INVALID', `"${key}" is not valid UTF-8`, { cause: error })
  }
}

class JsonSplitter {
  readonly #options: JsonSplitOptions
  readonly #groupBytes: number
  readonly #pieceBytesMax: number
  #bytes: Uint8Array = new Uint8Array(1 << 16)
  /** First byte still needed, next byte to look at, end of what was appended. */
  #from = 0
  #at = 0
  #end = 0
  #place: Place = 'start'
  #depth = 0
  #isString = false
  #isEscaped = false
  #key = ''
  #isGrouped = false
  /** The array being cut over groups: its key with colon and bracket, to open it again. */
  #arrayPrefix = ''
  #entryStart = 0
  #arrayStart = -1
  #needsEntry = false

  constructor(options: JsonSplitOptions) {
    this.#options = options
    this.#groupBytes = options.groupBytes ?? GROUP_BYTES
    this.#pieceBytesMax = options.pieceBytesMax ?? PIECE_BYTES_MAX
  }

  append(chunk: Uint8Array): void {
    const kept = this.#end - this.#from
    if (this.#end + chunk.length > this.#bytes.length) {
      const isRoomy = 2 * (kept + chunk.length) <= this.#bytes.length
      const target = isRoomy ? this.#bytes : new Uint8Array(2 * (kept + chunk.length))
      target.set(this.#bytes.subarray(this.#from, this.#end))
      this.#bytes = target
      this.#at -= this.#from
      this.#entryStart -= this.#from
      if (this.#arrayStart >= 0) this.#arrayStart -= this.#from
      this.#end = kept
      this.#from = 0
    }
    this.#bytes.set(chunk, this.#end)
    this.#end += chunk.length
    if (this.#end - this.#from > this.#pieceBytesMax + chunk.length) {
      throw new WalgError(
        'FORMAT_INVALID',
        `"${this.#key}" has an entry of more than ${this.#pieceBytesMax} bytes`,
      )
    }
  }

  /** Everything that is complete by now. */
  *pieces(): Generator<JsonPiece> {
    for (;;) {
      const piece = this.#place === 'inside' ? this.#scanValue() : this.#scanBetween()
      if (piece === undefined) return
      if (piece !== null) yield piece
    }
  }

  end(): void {
    if (this.#place === 'done') return
    if (this.#place === 'start') throw new WalgError('FORMAT_INVALID', 'empty document')
    throw new WalgError('FORMAT_TRUNCATED', 'the document ends early')
  }

  /** Steps over the tokens between values: undefined = more bytes are needed, null = go on. */
  #scanBetween(): null | undefined {
    while (this.#at < this.#end && isSpace(this.#bytes[this.#at]!)) this.#at += 1
    this.#from = this.#at
    if (this.#at === this.#end) return undefined
    const byte = this.#bytes[this.#at]!
    const place = this.#place
    if (place === 'value') return this.#openValue(byte)
    if (place === 'key-or-end' || place === 'key') {
      if (byte === QUOTE) return this.#scanKey()
      if (place === 'key' || byte !== CLOSE_OBJECT) throw this.#unexpected(byte)
      this.#place = 'done'
    } else if (place === 'start' && byte === OPEN_OBJECT) this.#place = 'key-or-end'
    else if (place === 'colon' && byte === COLON) this.#place = 'value'
    else if (place === 'comma-or-end' && byte === COMMA) this.#place = 'key'
    else if (place === 'comma-or-end' && byte === CLOSE_OBJECT) this.#place = 'done'
    else throw this.#unexpected(byte)
    this.#at += 1
    return null
  }

  #scanKey(): null | undefined {
    for (let at = this.#at + 1; at < this.#end; at += 1) {
      const byte = this.#bytes[at]!
      if (byte === BACKSLASH) at += 1
      else if (byte === QUOTE) {
        this.#key = parsePiece(decode(this.#bytes.subarray(this.#at, at + 1), this.#key)) as string
        this.#at = at + 1
        this.#place = 'colon'
        return null
      }
    }
    return undefined
  }

  #openValue(byte: number): null {
    if (byte === COMMA || byte === COLON || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      throw this.#unexpected(byte)
    }
    this.#place = 'inside'
    this.#depth = 0
    this.#isString = false
    this.#isGrouped = byte === OPEN_OBJECT && this.#options.isGrouped(this.#key)
    this.#arrayPrefix = ''
    this.#arrayStart = -1
    this.#needsEntry = false
    if (this.#isGrouped) {
      this.#at += 1
      this.#depth = 1
    }
    this.#from = this.#at
    this.#entryStart = this.#at
    return null
  }

  /** Scans inside a value up to its end or to the border of a full group. */
  #scanValue(): JsonPiece | undefined {
    for (;;) {
      if (this.#isString && !this.#scanString()) return undefined
      const at = this.#skipToMark()
      if (at === this.#end) return undefined
      const byte = this.#bytes[at]!
      if (byte === QUOTE) this.#isString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        this.#depth += 1
        if (this.#depth === 2 && byte === OPEN_ARRAY) this.#arrayStart = at
      } else if (byte === COMMA) {
        if (this.#depth === 0) return this.#closeScalar()
        const piece = this.#isGrouped ? this.#cutGroup() : undefined
        if (piece !== undefined) return piece
      } else {
        if (this.#depth === 0) return this.#closeScalar()
        this.#depth -= 1
        if (this.#depth === 0) return this.#closeValue(byte)
        if (this.#depth === 1) this.#arrayStart = -1
      }
      this.#at += 1
    }
  }

  /** Steps behind the closing quote; false when that is not here yet. */
  #scanString(): boolean {
    const bytes = this.#bytes
    const end = this.#end
    for (let at = this.#at; at < end; at += 1) {
      const byte = bytes[at]!
      if (this.#isEscaped) this.#isEscaped = false
      else if (byte === BACKSLASH) this.#isEscaped = true
      else if (byte === QUOTE) {
        this.#isString = false
        this.#at = at + 1
        return true
      }
    }
    this.#at = end
    return false
  }

  /** Steps to the next quote, bracket or comma outside of strings, or to the end of what there is. */
  #skipToMark(): number {
    const bytes = this.#bytes
    const end = this.#end
    let at = this.#at
    while (at < end) {
      const byte = bytes[at]!
      if (byte === QUOTE || byte === COMMA) break
      if ((byte | 0x20) === OPEN_OBJECT || (byte | 0x20) === CLOSE_OBJECT) break
      at += 1
    }
    this.#at = at
    return at
  }

  /** A scalar ends where the comma or bracket behind it stands; that is left to `#scanBetween`. */
  #closeScalar(): JsonPiece {
    return this.#leave(new Piece('member', this.#key, this.#bytes.subarray(this.#from, this.#at)))
  }

  #closeValue(byte: number): JsonPiece {
    if (!this.#isGrouped) {
      this.#at += 1
      return this.#leave(new Piece('member', this.#key, this.#bytes.subarray(this.#from, this.#at)))
    }
    if (byte !== CLOSE_OBJECT || this.#isCommaLast()) throw this.#unexpected(byte)
    const body = this.#bytes.subarray(this.#from, this.#at)
    this.#at += 1
    return this.#leave(new Piece('group', this.#key, body, this.#arrayPrefix))
  }

  #leave(piece: JsonPiece): JsonPiece {
    this.#place = 'comma-or-end'
    this.#from = this.#at
    return piece
  }

  /** At a comma: hands on the group when it is full and the comma stands between entries or array items. */
  #cutGroup(): JsonPiece | undefined {
    const isInArray = this.#depth === 2 && this.#arrayStart >= 0
    if (this.#depth === 1) this.#entryStart = this.#at + 1
    else if (!isInArray) return undefined
    if (this.#at - this.#from < this.#groupBytes) return undefined
    if (this.#isCommaLast()) throw this.#unexpected(COMMA)
    const body = this.#bytes.subarray(this.#from, this.#at)
    const piece = new Piece('group', this.#key, body, this.#arrayPrefix, isInArray)
    if (!isInArray) this.#arrayPrefix = ''
    else if (this.#entryStart >= this.#from) {
      this.#arrayPrefix = decode(this.#bytes.subarray(this.#entryStart, this.#arrayStart + 1), this.#key)
    }
    this.#at += 1
    this.#from = this.#at
    this.#needsEntry = true
    return piece
  }

  /** A group that follows a cut must go on with an entry or item: `,}` and `,]` are no JSON. */
  #isCommaLast(): boolean {
    let at = this.#from
    while (at < this.#at && isSpace(this.#bytes[at]!)) at += 1
    return this.#needsEntry && (at === this.#at || this.#bytes[at] === CLOSE_ARRAY)
  }

  #unexpected(byte: number): WalgError {
    const where = this.#key === '' ? 'at the beginning' : `near "${this.#key}"`
    return new WalgError(
      'FORMAT_INVALID',
      `not valid JSON: unexpected "${String.fromCharCode(byte)}" ${where}`,
    )
  }
}

/** `JSON.parse` with a coded error. */
export function parsePiece(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new WalgError('FORMAT_INVALID', `not valid JSON: ${reason}`, { cause: error })
  }
}
