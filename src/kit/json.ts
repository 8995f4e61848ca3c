import { WalgError } from './errors.ts'

/** JSON text that is known to be valid and is written as it stands (user data, numbers with their own text). */
export interface RawJson {
  readonly rawJson: string
}

/** What the exact parser gives and the writer takes: integers beyond 2^53 are bigints. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | RawJson
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined }

/**
 * `v1`: `<`, `>`, `&`, U+2028 and U+2029 are escaped, as in sentinels and `metadata.json`.
 * `v2`: they are not, as in `files_metadata.json`.
 */
export type JsonEscaping = 'v1' | 'v2'

/** Parses with exact integers: those beyond 2^53 become bigints. Throws FORMAT_INVALID. */
export function parseJson(text: string): JsonValue {
  return parseWith(text, (_key, value, context) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
    return /^-?\d+$/.test(context.source) ? BigInt(context.source) : value
  }) as JsonValue
}

/** Throws FORMAT_INVALID unless `text` is one JSON value. */
export function checkJson(text: string): void {
  parseWith(text)
}

/**
 * Throws FORMAT_INVALID unless `text` is one JSON value that other programs can read as well: a number beyond the range of
 * a double would make the whole document around it unreadable for WAL-G.
 */
export function checkPortableJson(text: string): void {
  parseWith(text, (_key, value, context) => {
    if (typeof value !== 'number' || Number.isFinite(value)) return value
    throw new WalgError('FORMAT_INVALID', `the number ${context.source} is beyond what JSON readers can hold`)
  })
}

/** Writes on one line, keys in the order of the object, members that are undefined left out. */
export function writeJson(value: JsonValue, escaping: JsonEscaping = 'v1'): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return quoteJson(value, escaping)
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new WalgError('FORMAT_INVALID', `${value} has no JSON form`)
  }
  if (typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return `[${value.map(item => writeJson(item, escaping)).join(',')}]`
  if (isRawJson(value)) return compactJson(value.rawJson, escaping)
  const members = Object.entries(value as Readonly<Record<string, JsonValue | undefined>>)
    .filter((entry): entry is [string, JsonValue] => entry[1] !== undefined)
    .map(([key, member]) => `${quoteJson(key, escaping)}:${writeJson(member, escaping)}`)
  return `{${members.join(',')}}`
}

/** A JSON string with quotes. */
export function quoteJson(text: string, escaping: JsonEscaping = 'v1'): string {
  const quoted = JSON.stringify(text)
  return escaping === 'v1' ? escapeForHtml(quoted) : quoted
}

/** The same document without white space; numbers and strings keep their text (but for the escaping). */
export function compactJson(text: string, escaping: JsonEscaping = 'v1'): string {
  return layOut(text, escaping, undefined)
}

/** The same document over several lines; empty arrays and objects stay on one. */
export function indentJson(text: string, indent: string, escaping: JsonEscaping = 'v1'): string {
  return layOut(text, escaping, indent)
}

/**
 * The members of an object, found by key in any case (of duplicates the last counts; null counts as absent),
 * each with its own text: integers stay exact, nested documents byte for byte.
 */
export class JsonMembers {
  readonly #raw = new Map<string, string>()

  /** Throws FORMAT_INVALID unless `text` is one JSON object. */
  static parse(text: string): JsonMembers {
    const members = new JsonMembers()
    for (const [key, raw] of JsonMembers.entries(text)) members.add(key, raw)
    return members
  }

  /** Keys as written and texts of the values, in the order of the document. Throws like `parse`. */
  static entries(text: string): Generator<readonly [key: string, raw: string, from: number]> {
    const value = parseWith(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return splitObject(text)
    throw new WalgError('FORMAT_INVALID', 'not a JSON object')
  }

  /** `raw` is the valid JSON text of the value. */
  add(key: string, raw: string): void {
    if (raw === 'null') return
    this.#raw.set(key.toLowerCase(), raw)
  }

  /** The text of a value; undefined when absent or null. */
  raw(key: string): string | undefined {
    return this.#raw.get(key.toLowerCase())
  }

  /** Throws FORMAT_INVALID when the value is of another type; so do all below. */
  string(key: string): string | undefined {
    const raw = this.raw(key)
    if (raw === undefined) return undefined
    if (raw[0] !== '"') throw mismatch(key, 'a string', raw)
    return JSON.parse(raw) as string
  }

  boolean(key: string): boolean | undefined {
    const raw = this.raw(key)
    if (raw !== undefined && raw !== 'true' && raw !== 'false') throw mismatch(key, 'true or false', raw)
    return raw === undefined ? undefined : raw === 'true'
  }

  bigint(key: string): bigint | undefined {
    const raw = this.raw(key)
    if (raw === undefined) return undefined
    if (!/^-?\d+$/.test(raw)) throw mismatch(key, 'a whole number', raw)
    return BigInt(raw)
  }

  /** A whole number that a double holds exactly. */
  integer(key: string): number | undefined {
    const value = this.bigint(key)
    if (value === undefined) return undefined
    if (!Number.isSafeInteger(Number(value))) throw mismatch(key, 'a whole number below 2^53', String(value))
    return Number(value)
  }

  object(key: string): JsonMembers | undefined {
    const raw = this.raw(key)
    if (raw === undefined) return undefined
    if (raw[0] !== '{') throw mismatch(key, 'an object', raw)
    return JsonMembers.parse(raw)
  }

  strings(key: string): string[] | undefined {
    const raw = this.raw(key)
    if (raw === undefined) return undefined
    const value = JSON.parse(raw) as unknown
    if (!Array.isArray(value) || value.some(item => typeof item !== 'string')) {
      throw mismatch(key, 'an array of strings', raw)
    }
    return value as string[]
  }

  integers(key: string): number[] | undefined {
    const raw = this.raw(key)
    if (raw === undefined) return undefined
    const value = JSON.parse(raw) as unknown
    if (!Array.isArray(value) || !value.every(Number.isSafeInteger)) {
      throw mismatch(key, 'an array of whole numbers', raw)
    }
    return value as number[]
  }
}

/**
 * True when two documents hold the same value: key order, white space and the notation of numbers do not
 * count. Integers beyond 2^53 are told apart.
 */
export function isSameJson(left: string, right: string): boolean {
  return isSameValue(parseJson(left), parseJson(right))
}

function isSameValue(left: unknown, right: unknown): boolean {
  if (typeof left !== 'object' || left === null) return left === right
  if (typeof right !== 'object' || right === null) return false
  if (Array.isArray(left) !== Array.isArray(right)) return false
  const keys = Object.keys(left)
  if (keys.length !== Object.keys(right).length) return false
  return keys.every(
    key =>
      Object.hasOwn(right, key) &&
      isSameValue((left as Record<string, unknown>)[key], (right as Record<string, unknown>)[key]),
  )
}

type Reviver = (key: string, value: unknown, context: { readonly source: string }) => unknown

function parseWith(text: string, reviver?: Reviver): unknown {
  try {
    return JSON.parse(text, reviver as Parameters<typeof JSON.parse>[1])
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new WalgError(
      'FORMAT_INVALID',
      text.trim() === '' ? 'empty document' : `not valid JSON: ${reason}`,
      {
        cause: error,
      },
    )
  }
}

function isRawJson(value: object): value is RawJson {
  return Object.hasOwn(value, 'rawJson') && Object.keys(value).length === 1
}

function mismatch(key: string, expected: string, raw: string): WalgError {
  const found = raw.length > 40 ? `${raw.slice(0, 40)}…` : raw
  return new WalgError('FORMAT_INVALID', `"${key}" must be ${expected}, found ${found}`)
}

const HTML = /[<>&\u2028\u2029]/g

function escapeForHtml(quoted: string): string {
  return quoted.replace(HTML, letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** End (exclusive) of the string that begins with the quote at `at`, in valid JSON. */
function endOfString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end += 1) {
    const code = text.charCodeAt(end)
    if (code === 0x5c) end += 1
    else if (code === 0x22) return end + 1
  }
  return text.length
}

/**
 * The same object with another value (JSON text) for a member, found by key in any case; added at the end when it is
 * not there. Every other byte stays. Throws FORMAT_INVALID unless `text` is one JSON object.
 */
export function replaceJsonMember(text: string, key: string, raw: string): string {
  JsonMembers.parse(text)
  let replaced = ''
  let copied = 0
  let count = 0
  for (const [name, value, from] of splitObject(text)) {
    count += 1
    if (name.toLowerCase() !== key.toLowerCase()) continue
    replaced += text.slice(copied, from) + raw
    copied = from + value.length
  }
  if (copied > 0) return replaced + text.slice(copied)
  const end = text.lastIndexOf('}')
  return `${text.slice(0, end)}${count > 0 ? ',' : ''}${quoteJson(key)}:${raw}${text.slice(end)}`
}

/** Key, text and place of the text of every member of a valid JSON object. */
function* splitObject(text: string): Generator<[key: string, raw: string, from: number]> {
  let depth = 0
  let key: string | undefined
  let valueStart = 0
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at]!
    if (letter === '"') {
      const end = endOfString(text, at)
      if (depth === 1 && key === undefined) key = JSON.parse(text.slice(at, end)) as string
      at = end - 1
    } else if (letter === ':' && depth === 1) {
      valueStart = at + 1
    } else {
      const isClosing = letter === '}' || letter === ']'
      if ((letter === ',' || isClosing) && depth === 1 && key !== undefined) {
        const value = text.slice(valueStart, at)
        yield [key, value.trim(), valueStart + value.length - value.trimStart().length]
        key = undefined
      }
      if (letter === '{' || letter === '[') depth += 1
      if (isClosing) depth -= 1
    }
  }
}

function layOut(text: string, escaping: JsonEscaping, indent: string | undefined): string {
  let out = ''
  let depth = 0
  const newLine = (): string => (indent === undefined ? '' : `\n${indent.repeat(depth)}`)
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at]!
    if (letter === '"') {
      const end = endOfString(text, at)
      out += escaping === 'v1' ? escapeForHtml(text.slice(at, end)) : text.slice(at, end)
      at = end - 1
    } else if (letter === '{' || letter === '[') {
      let next = at + 1
      while (text.charCodeAt(next) <= 0x20) next += 1
      if (text[next] === '}' || text[next] === ']') {
        out += letter + text[next]
        at = next
      } else {
        depth += 1
        out += letter + newLine()
      }
    } else if (letter === '}' || letter === ']') {
      depth -= 1
      out += newLine() + letter
    } else if (letter === ',') {
      out += letter + newLine()
    } else if (letter === ':') {
      out += indent === undefined ? ':' : ': '
    } else if (letter > ' ') {
      out += letter
    }
  }
  return out
}
