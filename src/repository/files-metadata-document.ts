import type { ByteStream } from '../kit/bytes.ts'
import { WalgError } from '../kit/errors.ts'
import { parseJson, quoteJson } from '../kit/json.ts'
import { type JsonPiece, parsePiece, splitJson } from '../kit/json-stream.ts'
import { formatTimestamp, parseTimestamp, ZERO_TIME } from '../kit/timestamp.ts'
import {
  type CorruptBlocks,
  type FileEntry,
  FilesMetadata,
  type FilesMetadataSource,
} from './files-metadata.ts'
import { scanFiles, scanParts } from './scan/files-metadata-scan.ts'
import { encodePieces } from './text-pieces.ts'

/** The document as a stream of pieces of about 256 KiB; members of `Files` in the order of adding. */
export async function* encodeFilesMetadata(files: FilesMetadataSource): AsyncGenerator<Uint8Array> {
  yield* encodePieces(fragments(files))
}

function* fragments(files: FilesMetadataSource): Generator<string> {
  let before = '{'
  if (files.filesCount > 0) {
    yield `${before}"Files":`
    let separator = '{'
    for (const entry of files.entries()) {
      yield `${separator}${quoteJson(entry.name, 'v2')}:${formatEntry(entry)}`
      separator = ','
    }
    yield '}'
    before = ','
  }
  const parts = files.partNames()
  if (parts.length > 0) {
    yield `${before}"TarFileSets":{`
    for (const [number, part] of parts.entries()) {
      yield `${number === 0 ? '' : ','}${quoteJson(part, 'v2')}:[`
      let separator = ''
      for (const name of files.partMembers(part)) {
        yield separator + quoteJson(name, 'v2')
        separator = ','
      }
      yield ']'
    }
    yield '}'
    before = ','
  }
  if (files.databases !== null) {
    yield `${before}"DatabasesByNames":${files.databases}`
    before = ','
  }
  yield before === '{' ? '{}' : '}'
}

function formatEntry(entry: FileEntry): string {
  const corrupt = entry.corruptBlocks
  const blocks =
    corrupt === undefined
      ? ''
      : `"CorruptBlocks":{"CorruptBlocksCount":${corrupt.count},"SomeCorruptBlocks":[${corrupt.some.join(',')}]},`
  return (
    `{"IsIncremented":${entry.isIncremented},"IsSkipped":${entry.isSkipped},` +
    `"MTime":"${formatTimestamp(entry.mtime)}",${blocks}"UpdatesCount":${entry.updatesCount ?? 0n}}`
  )
}

/** Reads the document piece by piece. Throws BACKUP_BROKEN naming `key` when it is cut, damaged or no such document. */
export async function decodeFilesMetadata(key: string, body: ByteStream): Promise<FilesMetadata> {
  const files = new FilesMetadata()
  try {
    for await (const piece of splitJson(body, { isGrouped: isFilesMember })) addPiece(files, piece)
  } catch (error) {
    throw brokenFilesMetadata(key, error)
  }
  return files
}

/** True for the two members that can be large, in any case. */
export function isFilesMember(key: string): boolean {
  const name = key.toLowerCase()
  return name === 'files' || name === 'tarfilesets'
}

/** Takes one piece of a document in; unknown members are ignored. Throws FORMAT_INVALID. */
export function addPiece(files: FilesMetadata, piece: JsonPiece): void {
  const name = piece.key.toLowerCase()
  if (piece.kind === 'group' && name === 'files' && scanFiles(files, piece.body)) return
  if (piece.kind === 'group' && name === 'tarfilesets' && scanPartsOf(files, piece)) return
  const value = parsePiece(piece.text)
  if (value === null) return
  if (name === 'files') addFiles(files, value, piece.text)
  else if (name === 'tarfilesets') addParts(files, value)
  else if (name === 'databasesbynames') files.databases = piece.text
}

function scanPartsOf(files: FilesMetadata, piece: JsonPiece): boolean {
  return scanParts(files, piece.body, piece.openEntry, piece.isEntryCut)
}

function addFiles(files: FilesMetadata, value: unknown, text: string): void {
  const entries = record(value, 'Files')
  let exact: Record<string, unknown> | undefined
  for (const name of Object.keys(entries)) {
    let entry = parseEntry(name, entries[name])
    if (entry === undefined) {
      exact ??= record(parseJson(text), 'Files')
      entry = parseEntry(name, exact[name])
    }
    if (entry === undefined)
      throw new WalgError('FORMAT_INVALID', `"UpdatesCount" of "${name}" is not a whole number`)
    files.addFile(entry)
  }
}

const KNOWN_KEYS = new Set(['IsIncremented', 'IsSkipped', 'MTime', 'CorruptBlocks', 'UpdatesCount'])
const KEY_BY_LOWER = new Map([...KNOWN_KEYS].map(key => [key.toLowerCase(), key]))

/** Undefined when a number of the entry has to be parsed exactly. */
function parseEntry(name: string, value: unknown): FileEntry | undefined {
  const given = record(value, name)
  let known = given
  for (const key in given) {
    if (KNOWN_KEYS.has(key)) continue
    known = foldKeys(given)
    break
  }
  const { MTime: mtime, UpdatesCount: updates, CorruptBlocks: corrupt } = known
  const updatesCount = typeof updates === 'bigint' ? updates : exactCount(updates ?? 0)
  if (updatesCount === undefined || updatesCount < 0n) return undefined
  const entry = {
    name,
    isIncremented: flag(known['IsIncremented'], name),
    isSkipped: flag(known['IsSkipped'], name),
    mtime: typeof mtime === 'string' ? parseTimestamp(mtime) : missingTime(mtime, name),
    updatesCount,
  }
  return corrupt === undefined || corrupt === null
    ? entry
    : { ...entry, corruptBlocks: parseCorrupt(corrupt, name) }
}

/** Keys in any case become the known ones; others are left out. */
function foldKeys(given: Record<string, unknown>): Record<string, unknown> {
  const known: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(given)) {
    const name = KEY_BY_LOWER.get(key.toLowerCase())
    if (name !== undefined) known[name] = value
  }
  return known
}

function exactCount(value: unknown): bigint | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : undefined
}

/** Absent counts as the year 1: it equals no file's time, so that nothing is skipped because of it. */
function missingTime(value: unknown, name: string): FileEntry['mtime'] {
  if (value !== undefined && value !== null)
    throw new WalgError('FORMAT_INVALID', `"MTime" of "${name}" is not a string`)
  return ZERO_TIME
}

function flag(value: unknown, name: string): boolean {
  if (value === undefined || value === null) return false
  if (typeof value !== 'boolean')
    throw new WalgError('FORMAT_INVALID', `a flag of "${name}" is not true or false`)
  return value
}

/** Also the bare array of block numbers that old versions wrote. */
function parseCorrupt(value: unknown, name: string): CorruptBlocks {
  if (Array.isArray(value)) return { count: value.length, some: blockNumbers(value, name) }
  const members = new Map(
    Object.entries(record(value, name)).map(([key, member]) => [key.toLowerCase(), member]),
  )
  const count = members.get('corruptblockscount') ?? 0
  if (!Number.isSafeInteger(count))
    throw new WalgError('FORMAT_INVALID', `"CorruptBlocksCount" of "${name}" is no count`)
  return { count: count as number, some: blockNumbers(members.get('somecorruptblocks') ?? [], name) }
}

function blockNumbers(value: unknown, name: string): number[] {
  if (!Array.isArray(value) || !value.every(block => Number.isSafeInteger(block))) {
    throw new WalgError(
      'FORMAT_INVALID',
      `"SomeCorruptBlocks" of "${name}" holds something else than block numbers`,
    )
  }
  return value as number[]
}

function addParts(files: FilesMetadata, value: unknown): void {
  for (const [part, names] of Object.entries(record(value, 'TarFileSets'))) {
    files.addPart(part)
    if (names === null) continue
    if (!Array.isArray(names))
      throw new WalgError('FORMAT_INVALID', `"${part}" in "TarFileSets" is not an array`)
    for (const name of names) {
      if (typeof name !== 'string')
        throw new WalgError('FORMAT_INVALID', `"${part}" holds a member without a name`)
      files.addPartMember(part, name)
    }
  }
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw new WalgError('FORMAT_INVALID', `"${what}" is not an object`)
}

function brokenFilesMetadata(key: string, error: unknown): WalgError {
  if (!(error instanceof WalgError) || !['FORMAT_INVALID', 'FORMAT_TRUNCATED'].includes(error.code))
    throw error
  return new WalgError('BACKUP_BROKEN', `"${key}" is damaged: ${error.message}`, {
    facts: { key },
    cause: error,
    hint: 'restore another backup, or bring this object back from a copy of the repository',
  })
}
