import type { ByteStream } from '../kit/bytes.ts'
import { WalgError } from '../kit/errors.ts'
import { quoteJson } from '../kit/json.ts'
import { parsePiece } from '../kit/json-stream.ts'
import { ContentManifest, type ManifestHeader, type ManifestSource } from './manifest.ts'
import { NameTable } from './name-table.ts'

/** What the header line of this version says. */
const FORMAT = 'wal-g content manifest'
const VERSION = 1
const PIECE_CHARACTERS = 1 << 18
const LINE_BYTES_MAX = 1 << 20

/**
 * The lines of a content manifest as a stream of pieces of about 256 KiB (`docs/FORMAT.md`); the codec's
 * `sealStream('part')` goes behind it.
 */
export async function* encodeContentManifest(manifest: ManifestSource): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  let text = ''
  for (const line of lines(manifest)) {
    text += `${line}\n`
    if (text.length < PIECE_CHARACTERS) continue
    yield encoder.encode(text)
    text = ''
  }
  if (text !== '') yield encoder.encode(text)
}

function* lines(manifest: ManifestSource): Generator<string> {
  const { backup, hashAlgorithm } = manifest.header
  const hash = quoteJson(hashAlgorithm, 'v2')
  yield `{"format":"${FORMAT}","version":${VERSION},"backup":${quoteJson(backup, 'v2')},"hash":${hash}}`
  const numbers = new Map<string, number>()
  for (const { key, sizeBytes, hash } of manifest.objects()) {
    yield `{"object":${numbers.size},"key":${quoteJson(key, 'v2')},"size":${sizeBytes},"hash":"${hash}"}`
    numbers.set(key, numbers.size)
  }
  let filesCount = 0
  for (const { name, object, sizeBytes, hash } of manifest.files()) {
    const number = numbers.get(object)
    if (number === undefined) throw new RangeError(`unknown object "${object}"`)
    yield `{"file":${quoteJson(name, 'v2')},"in":${number},"size":${sizeBytes},"hash":"${hash}"}`
    filesCount += 1
  }
  yield `{"objects":${numbers.size},"files":${filesCount}}`
}

/**
 * Reads the opened lines of a manifest. Throws BACKUP_BROKEN naming `key` when it is cut, damaged, contradicts
 * itself or is of a later version. `names` may be the table of the backup's `FilesMetadata`.
 */
export async function decodeContentManifest(
  key: string,
  body: ByteStream,
  names: NameTable = new NameTable(),
): Promise<ContentManifest> {
  const reader = new ManifestReader(names)
  try {
    for await (const text of wholeLines(body)) {
      for (const record of parsePiece(`[${text}]`) as unknown[]) reader.take(record)
    }
    return reader.end()
  } catch (error) {
    const isDamage = error instanceof WalgError && error.code.startsWith('FORMAT_')
    if (!isDamage && !(error instanceof RangeError) && !(error instanceof SyntaxError)) throw error
    throw new WalgError('BACKUP_BROKEN', `unable to read the content manifest "${key}": ${error.message}`, {
      facts: { key },
      cause: error,
      hint: 'the backup can be restored without checking its content against the manifest',
    })
  }
}

/** Groups of whole lines, joined by commas. */
async function* wholeLines(body: ByteStream): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let rest = ''
  try {
    for await (const chunk of body) {
      const text = rest + decoder.decode(chunk, { stream: true })
      const end = text.lastIndexOf('\n')
      rest = text.slice(end + 1)
      if (rest.length > LINE_BYTES_MAX)
        throw new WalgError('FORMAT_INVALID', `a line has over ${LINE_BYTES_MAX} bytes`)
      if (end > 0) yield text.slice(0, end).replaceAll('\n', ',')
    }
    rest += decoder.decode()
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new WalgError('FORMAT_INVALID', 'not valid UTF-8', { cause: error })
  }
  if (rest !== '') throw new WalgError('FORMAT_TRUNCATED', 'the last line has no end')
}

class ManifestReader {
  readonly #names: NameTable
  #manifest: ContentManifest | undefined
  readonly #keys: string[] = []
  #isEnded = false

  constructor(names: NameTable) {
    this.#names = names
  }

  take(value: unknown): void {
    if (typeof value !== 'object' || value === null) throw invalid('a line is not an object')
    const line = value as Record<string, unknown>
    if (this.#isEnded) throw invalid('there are lines behind the last one')
    if (this.#manifest === undefined) this.#manifest = new ContentManifest(parseHeader(line), this.#names)
    else if ('file' in line) this.#takeFile(this.#manifest, line)
    else if ('key' in line) this.#takeObject(this.#manifest, line)
    else if ('files' in line) this.#takeEnd(this.#manifest, line)
    else throw invalid('a line is neither object, file nor end')
  }

  end(): ContentManifest {
    if (this.#manifest === undefined) throw new WalgError('FORMAT_TRUNCATED', 'empty document')
    if (!this.#isEnded) throw new WalgError('FORMAT_TRUNCATED', 'the last line is missing')
    return this.#manifest
  }

  #takeObject(manifest: ContentManifest, line: Record<string, unknown>): void {
    const key = text(line['key'], 'key')
    if (line['object'] !== this.#keys.length) throw invalid(`object "${key}" has the wrong number`)
    manifest.addObject({ key, sizeBytes: size(line['size']), hash: text(line['hash'], 'hash') })
    this.#keys.push(key)
  }

  #takeFile(manifest: ContentManifest, line: Record<string, unknown>): void {
    const object = this.#keys[line['in'] as number]
    const name = text(line['file'], 'file')
    if (object === undefined) throw invalid(`file "${name}" lies in an unknown object`)
    manifest.addFile({ name, object, sizeBytes: size(line['size']), hash: text(line['hash'], 'hash') })
  }

  #takeEnd(manifest: ContentManifest, line: Record<string, unknown>): void {
    if (line['files'] !== manifest.filesCount || line['objects'] !== this.#keys.length) {
      throw invalid('the counts of the last line are not those of the document')
    }
    this.#isEnded = true
  }
}

function parseHeader(line: Record<string, unknown>): ManifestHeader {
  if (line['format'] !== FORMAT) throw invalid('the first line is not that of a content manifest')
  if (line['version'] !== VERSION) {
    throw new WalgError(
      'FORMAT_UNSUPPORTED',
      `version ${String(line['version'])} is not known to this program`,
    )
  }
  return { backup: text(line['backup'], 'backup'), hashAlgorithm: text(line['hash'], 'hash') }
}

function text(value: unknown, key: string): string {
  if (typeof value !== 'string') throw invalid(`"${key}" is not a string`)
  return value
}

function size(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid('"size" is not a size')
  return value as number
}

function invalid(message: string): WalgError {
  return new WalgError('FORMAT_INVALID', message)
}
