import { type ByteStream, concatBytes } from '../kit/bytes.ts'
import { WalgError } from '../kit/errors.ts'
import { quoteJson } from '../kit/json.ts'
import { parsePiece } from '../kit/json-stream.ts'
import { epochNs, formatTimestamp, parseTimestamp, timestampFromNs } from '../kit/timestamp.ts'
import type { DatabaseRow, DatabaseRows } from '../postgres/cluster/cluster-facts.ts'
import {
  ContentManifest,
  type ManifestHeader,
  type ManifestSink,
  type ManifestSource,
  type ScannedManifestFile,
} from './manifest.ts'
import { NameTable } from './name-table.ts'
import { scanKeptFile, scanManifestFile } from './scan/manifest-scan.ts'
import { encodePieces } from './text-pieces.ts'

/** What the header line of this version says. */
const FORMAT = 'wal-g content manifest'
const VERSION = 1
const LINE_BYTES_MAX = 1 << 20
const NEWLINE = 0x0a

/**
 * The lines of a content manifest as a stream of pieces of about 256 KiB (`docs/FORMAT.md`); the codec's
 * `sealStream('part')` goes behind it.
 */
export async function* encodeContentManifest(manifest: ManifestSource): AsyncGenerator<Uint8Array> {
  yield* encodePieces(lines(manifest))
}

function* lines(manifest: ManifestSource): Generator<string> {
  const { backup, hashAlgorithm, walkedNs, databases } = manifest.header
  const hash = quoteJson(hashAlgorithm, 'v2')
  const walked = walkedNs === undefined ? '' : `,"walked":"${formatTimestamp(timestampFromNs(walkedNs))}"`
  const head = `"format":"${FORMAT}","version":${VERSION},"backup":${quoteJson(backup, 'v2')}`
  yield `{${head},"hash":${hash}${walked}${databases === undefined ? '' : databaseMembers(databases)}}\n`
  const numbers = new Map<string, number>()
  for (const { key, sizeBytes, hash } of manifest.objects()) {
    yield `{"object":${numbers.size},"key":${quoteJson(key, 'v2')},"size":${sizeBytes},"hash":"${hash}"}\n`
    numbers.set(key, numbers.size)
  }
  let filesCount = 0
  for (const { name, object, sizeBytes, hash, fileSizeBytes, usedBytes, zeroes } of manifest.files()) {
    const number = numbers.get(object)
    if (number === undefined) throw new RangeError(`unknown object "${object}"`)
    const more = optional('fileSize', fileSizeBytes) + optional('used', usedBytes) + zeroRuns(zeroes)
    yield `{"file":${quoteJson(name, 'v2')},"in":${number},"size":${sizeBytes},"hash":"${hash}"${more}}\n`
    filesCount += 1
  }
  let keptCount = 0
  for (const { name, sizeBytes, usedBytes, zeroes } of manifest.kept?.() ?? []) {
    yield `{"kept":${quoteJson(name, 'v2')},"size":${sizeBytes}${optional('used', usedBytes)}${zeroRuns(zeroes)}}\n`
    keptCount += 1
  }
  const kept = keptCount === 0 ? '' : `,"kept":${keptCount}`
  yield `{"objects":${numbers.size},"files":${filesCount}${kept}}\n`
}

function databaseMembers(databases: DatabaseRows): string {
  const homes = [...databases].map(([oid, { tablespace }]) => `"${oid}":${tablespace}`)
  const xmins = [...databases].filter(([, { xmin }]) => xmin !== undefined)
  const told = xmins.map(([oid, { xmin }]) => `"${oid}":${xmin}`)
  return `,"databases":{${homes.join()}}${told.length === 0 ? '' : `,"databaseXmins":{${told.join()}}`}`
}

function zeroRuns(zeroes: Uint32Array | undefined): string {
  return zeroes === undefined ? '' : `,"zeroes":[${zeroes.join()}]`
}

function optional(key: string, value: number | undefined): string {
  return value === undefined ? '' : `,"${key}":${value}`
}

/**
 * Reads the opened lines of a manifest into columns. Throws BACKUP_BROKEN naming `key` when it is cut, damaged,
 * contradicts itself or is of a later version. `names` may be the table of the backup's `FilesMetadata`.
 */
export async function decodeContentManifest(
  key: string,
  body: ByteStream,
  names: NameTable = new NameTable(),
): Promise<ContentManifest> {
  let manifest: ContentManifest | undefined
  await readManifest(key, body, header => {
    manifest = new ContentManifest(header, names)
    return manifest
  })
  return manifest!
}

/** The same into a sink of the caller's own, which `open` makes from the header. */
export async function readManifest(
  key: string,
  body: ByteStream,
  open: (header: ManifestHeader) => ManifestSink,
): Promise<void> {
  const reader = new ManifestReader(open)
  try {
    let rest = new Uint8Array(0)
    for await (const chunk of body) {
      const bytes = rest.length === 0 ? chunk : concatBytes([rest, chunk])
      rest = bytes.slice(reader.takeLines(bytes))
      if (rest.length > LINE_BYTES_MAX) throw invalid(`a line has over ${LINE_BYTES_MAX} bytes`)
    }
    if (rest.length > 0) throw new WalgError('FORMAT_TRUNCATED', 'the last line has no end')
    reader.end()
  } catch (error) {
    const isDamage = error instanceof WalgError && error.code.startsWith('FORMAT_')
    if (!isDamage && !(error instanceof RangeError)) throw error
    throw new WalgError('BACKUP_BROKEN', `unable to read the content manifest "${key}": ${error.message}`, {
      facts: { key },
      cause: error,
      hint: 'the backup can be restored without checking its content against the manifest',
    })
  }
}

class ManifestReader {
  readonly #open: (header: ManifestHeader) => ManifestSink
  readonly #scanned: ScannedManifestFile = {
    bytes: new Uint8Array(0),
    nameFrom: 0,
    nameTo: 0,
    object: 0,
    sizeBytes: 0,
    hash: new Uint8Array(16),
    fileSizeBytes: -1,
    usedBytes: -1,
    zeroes: undefined,
  }
  #sink: ManifestSink | undefined
  #objectsCount = 0
  #filesCount = 0
  #keptCount = 0
  #isEnded = false

  constructor(open: (header: ManifestHeader) => ManifestSink) {
    this.#open = open
  }

  /** Takes every whole line; returns where the rest begins. */
  takeLines(bytes: Uint8Array): number {
    let from = 0
    for (;;) {
      const end = bytes.indexOf(NEWLINE, from)
      if (end < 0) return from
      this.#takeLine(bytes, from, end)
      from = end + 1
    }
  }

  end(): void {
    if (this.#sink === undefined) throw new WalgError('FORMAT_TRUNCATED', 'empty document')
    if (!this.#isEnded) throw new WalgError('FORMAT_TRUNCATED', 'the last line is missing')
  }

  #takeLine(bytes: Uint8Array, from: number, to: number): void {
    if (this.#sink !== undefined && !this.#isEnded && scanManifestFile(bytes, from, to, this.#scanned)) {
      this.#takeFile(this.#sink, this.#scanned)
      return
    }
    if (this.#sink !== undefined && !this.#isEnded && scanKeptFile(bytes, from, to, this.#scanned)) {
      this.#takeKept(this.#sink, this.#scanned)
      return
    }
    const line = parseLine(bytes.subarray(from, to))
    if (this.#isEnded) throw invalid('there are lines behind the last one')
    if (this.#sink === undefined) this.#sink = this.#open(parseHeader(line))
    else if ('file' in line) this.#takeFile(this.#sink, scannedOf(line))
    else if ('key' in line) this.#takeObject(this.#sink, line)
    else if ('files' in line) this.#takeEnd(line)
    else if ('kept' in line) this.#takeKept(this.#sink, keptOf(line))
    else throw invalid('a line is neither object, file nor end')
  }

  #takeObject(sink: ManifestSink, line: Record<string, unknown>): void {
    const key = text(line['key'], 'key')
    if (line['object'] !== this.#objectsCount) throw invalid(`object "${key}" has the wrong number`)
    sink.takeObject({ key, sizeBytes: size(line['size'], 'size'), hash: text(line['hash'], 'hash') })
    this.#objectsCount += 1
  }

  #takeFile(sink: ManifestSink, file: ScannedManifestFile): void {
    if (file.object >= this.#objectsCount) throw invalid(`a file lies in the unknown object ${file.object}`)
    sink.takeFile(file)
    this.#filesCount += 1
  }

  #takeKept(sink: ManifestSink, file: ScannedManifestFile): void {
    sink.takeKept?.(file)
    this.#keptCount += 1
  }

  #takeEnd(line: Record<string, unknown>): void {
    const isComplete =
      line['files'] === this.#filesCount &&
      line['objects'] === this.#objectsCount &&
      (line['kept'] ?? 0) === this.#keptCount
    if (!isComplete) {
      throw invalid('the counts of the last line are not those of the document')
    }
    this.#isEnded = true
  }
}

function parseLine(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = parsePiece(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new WalgError('FORMAT_INVALID', 'not valid UTF-8', { cause: error })
  }
  if (typeof value !== 'object' || value === null) throw invalid('a line is not an object')
  return value as Record<string, unknown>
}

function parseHeader(line: Record<string, unknown>): ManifestHeader {
  if (line['format'] !== FORMAT) throw invalid('the first line is not that of a content manifest')
  if (line['version'] !== VERSION) {
    throw new WalgError(
      'FORMAT_UNSUPPORTED',
      `version ${String(line['version'])} is not known to this program`,
    )
  }
  const header = { backup: text(line['backup'], 'backup'), hashAlgorithm: text(line['hash'], 'hash') }
  const { walked, databases, databaseXmins } = line
  return {
    ...header,
    ...(walked === undefined ? {} : { walkedNs: epochNs(parseTimestamp(text(walked, 'walked'))) }),
    ...(databases === undefined ? {} : { databases: databaseRows(databases, databaseXmins) }),
  }
}

function databaseRows(homes: unknown, xmins: unknown): DatabaseRows {
  const told = xmins === undefined ? new Map<number, number>() : oidMap(xmins, 'databaseXmins')
  const rows = [...oidMap(homes, 'databases')]
  return new Map(
    rows.map(([oid, tablespace]): [number, DatabaseRow] => {
      const xmin = told.get(oid)
      return [oid, xmin === undefined ? { tablespace } : { tablespace, xmin }]
    }),
  )
}

/** An object from oids to numbers. */
function oidMap(value: unknown, field: string): ReadonlyMap<number, number> {
  if (typeof value !== 'object' || value === null) throw invalid(`"${field}" is no object`)
  return new Map(
    Object.entries(value).map(([oid, number]) => [size(Number(oid), field), size(number, field)]),
  )
}

function scannedOf(line: Record<string, unknown>): ScannedManifestFile {
  const bytes = new TextEncoder().encode(text(line['file'], 'file'))
  return {
    bytes,
    nameFrom: 0,
    nameTo: bytes.length,
    object: size(line['in'], 'in'),
    sizeBytes: size(line['size'], 'size'),
    hash: parseHash(text(line['hash'], 'hash')),
    fileSizeBytes: optionalSize(line['fileSize'], 'fileSize'),
    usedBytes: optionalSize(line['used'], 'used'),
    zeroes: optionalRuns(line['zeroes']),
  }
}

function keptOf(line: Record<string, unknown>): ScannedManifestFile {
  const bytes = new TextEncoder().encode(text(line['kept'], 'kept'))
  return {
    bytes,
    nameFrom: 0,
    nameTo: bytes.length,
    object: -1,
    sizeBytes: size(line['size'], 'size'),
    hash: new Uint8Array(0),
    fileSizeBytes: -1,
    usedBytes: optionalSize(line['used'], 'used'),
    zeroes: optionalRuns(line['zeroes']),
  }
}

/** Runs in ascending order, each behind the one before. */
function optionalRuns(value: unknown): Uint32Array | undefined {
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length % 2 !== 0) throw invalid('"zeroes" is no list of runs')
  const runs = Uint32Array.from(value, entry => size(entry, 'zeroes'))
  let end = 0
  for (let at = 0; at < runs.length; at += 2) {
    const isExact = runs[at] === value[at] && runs[at + 1] === value[at + 1]
    if (!isExact || runs[at]! < end || runs[at + 1] === 0) throw invalid('"zeroes" is no list of runs')
    end = runs[at]! + runs[at + 1]!
  }
  return runs
}

function optionalSize(value: unknown, key: string): number {
  return value === undefined ? -1 : size(value, key)
}

function parseHash(hex: string): Uint8Array {
  if (!/^([0-9a-f]{2})+$/.test(hex)) throw invalid(`"${hex}" is not a hash`)
  return Uint8Array.fromHex(hex)
}

function text(value: unknown, key: string): string {
  if (typeof value !== 'string') throw invalid(`"${key}" is not a string`)
  return value
}

function size(value: unknown, key: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(`"${key}" is not a whole number`)
  return value as number
}

function invalid(message: string): WalgError {
  return new WalgError('FORMAT_INVALID', message)
}
