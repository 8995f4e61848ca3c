/** The record of a complete part as JSON lines: what it was, which files it wrote, how they looked afterwards. */
import fs from 'node:fs'
import { fromSystemError } from '../../../kit/errors.ts'
import { JsonBytes } from '../json-bytes.ts'
import type { PartResult } from '../part/part-protocol.ts'
import type { PlannedPart } from '../plan/fetch-plan.ts'
import type { RowNames } from '../plan/member-table.ts'

const PIECE_BYTES = 1 << 17
const READ_BYTES = 1 << 20

interface RecordHeader {
  readonly part: string
  readonly sizeBytes: number
  readonly modifiedNs: string
  readonly memberBytes: number
  readonly storedHash: string | null
}

/** A restored file as recorded. */
export interface RecordedFile {
  readonly name: string
  readonly bytes: Uint8Array | undefined
  readonly sizeBytes: number
  readonly mtimeUs: number
  readonly tarTime: number
  readonly isPatched: boolean
  readonly checksum: Uint8Array
}

/** What a record holds besides its files. */
export interface RecordTail {
  readonly memberBytes: number
  readonly storedHash: string | null
  readonly seen: readonly string[]
  readonly increments: readonly RecordedIncrement[]
  readonly directories: PartResult['directories']
  readonly ignored: readonly string[]
}

/** An increment as recorded. */
export interface RecordedIncrement {
  readonly name: string
  readonly fileSizeBytes: number
  readonly finalSizeBytes: number
  readonly blocks: Uint32Array
}

/** A file is `["f", name, size, mtime, time in the tar, patched, checksum]`, an increment
 * `["p", name, size in the backup, size after it, its blocks in hex, as 32 bits each]`; the last line counts the lines. */
export async function* formatRecord(
  part: PlannedPart,
  result: PartResult,
  names: RowNames,
): AsyncGenerator<Uint8Array> {
  const header: RecordHeader = {
    part: part.part,
    sizeBytes: part.sizeBytes,
    modifiedNs: String(part.modifiedNs),
    memberBytes: result.memberBytes,
    storedHash: result.storedHash,
  }
  const json = new JsonBytes()
  json.text(`${JSON.stringify(header)}\n`)
  let linesCount = 1
  for (let index = 0; index < result.count; index++, linesCount++) {
    addFile(json, result, index, names)
    if (json.usedBytes >= PIECE_BYTES) yield json.take()
  }
  for (let index = 0; index < result.incrementsCount; index++, linesCount++) {
    addIncrement(json, result, index, names)
    if (json.usedBytes >= PIECE_BYTES) yield json.take()
  }
  for (const row of result.seen.subarray(0, result.seenCount)) {
    json
      .text('["s",')
      .quoted(names.bytes, names.nameBegin(row), names.nameBegin(row + 1))
      .text(']\n')
    if (json.usedBytes >= PIECE_BYTES) yield json.take()
  }
  for (const { name, mode } of result.directories) {
    const text = name.bytes === undefined ? name.name : { hex: name.bytes.toHex() }
    json.text(`${JSON.stringify(['d', text, mode])}\n`)
  }
  for (const name of result.ignored) json.text(`${JSON.stringify(['i', name])}\n`)
  linesCount += result.seenCount + result.directories.length + result.ignored.length
  json.text(`{"lines":${linesCount + 1}}\n`)
  yield json.take()
}

function addFile(json: JsonBytes, result: PartResult, index: number, names: RowNames): void {
  const checksumBytes = result.checksums.length / result.sizes.length
  json.text('["f",')
  if (result.names.length === 0) {
    const row = result.rows[index]!
    json.quoted(names.bytes, names.nameBegin(row), names.nameBegin(row + 1))
  } else {
    const name = result.names[index]!
    json.text(JSON.stringify(typeof name === 'string' ? name : { hex: name.toHex() }))
  }
  const checksum =
    checksumBytes === 0
      ? ''
      : result.checksums.subarray(index * checksumBytes, (index + 1) * checksumBytes).toHex()
  json
    .text(',')
    .number(result.sizes[index]!)
    .text(',')
    .number(result.mtimes[index]!)
    .text(',')
    .number(result.tarTimes[index]!)
    .text(result.isPatched[index] === 1 ? ',1,"' : ',0,"')
    .text(checksum)
    .text('"]\n')
}

function addIncrement(json: JsonBytes, result: PartResult, index: number, names: RowNames): void {
  const row = result.incrementRows[index]!
  const blocks = result.incrementBlocks.subarray(
    index === 0 ? 0 : result.incrementEnds[index - 1]!,
    result.incrementEnds[index]!,
  )
  json
    .text('["p",')
    .quoted(names.bytes, names.nameBegin(row), names.nameBegin(row + 1))
    .text(`,${result.incrementSizes[index]},${result.incrementFinalSizes[index]},"`)
    .text(new Uint8Array(blocks.buffer, blocks.byteOffset, blocks.byteLength).toHex())
    .text('"]\n')
}

/**
 * Reads the record of `part`: calls `take` for each file, which says whether it is still what was recorded. Undefined
 * when there is no whole record of this very object, or a file is not as it was.
 */
export function readRecord(
  file: string,
  part: PlannedPart,
  take: (recorded: RecordedFile) => boolean,
): RecordTail | undefined {
  const seen: string[] = []
  const ignored: string[] = []
  const increments: RecordedIncrement[] = []
  const directories: { name: { name: string; bytes?: Uint8Array }; mode: number }[] = []
  let header: RecordHeader | undefined
  let linesCount = 0
  let isWhole = false
  for (const line of fileLines(file)) {
    linesCount++
    const value = parseLine(line)
    if (value === undefined) return undefined
    if (!Array.isArray(value)) {
      if ('lines' in value) isWhole = value.lines === linesCount
      else {
        header = value
        const isSame = value.sizeBytes === part.sizeBytes && value.modifiedNs === String(part.modifiedNs)
        if (!isSame || value.part !== part.part) return undefined
      }
    } else if (value[0] === 'f') {
      if (!take(parseFile(value))) return undefined
    } else if (value[0] === 'd') directories.push({ name: parseName(value[1]), mode: value[2] as number })
    else if (value[0] === 'p') increments.push(parseIncrement(value))
    else if (value[0] === 's') seen.push(value[1] as string)
    else ignored.push(value[1] as string)
  }
  if (header === undefined || !isWhole) return undefined
  const { memberBytes, storedHash } = header
  return { memberBytes, storedHash, seen, increments, directories, ignored }
}

/** Undefined for a line that is no JSON: then the part is simply read again. */
function parseLine(line: string): RecordHeader | { lines: number } | unknown[] | undefined {
  try {
    return JSON.parse(line) as RecordHeader | { lines: number } | unknown[]
  } catch {
    return undefined
  }
}

function parseFile(value: unknown[]): RecordedFile {
  const name = parseName(value[1])
  return {
    name: name.name,
    bytes: name.bytes,
    sizeBytes: value[2] as number,
    mtimeUs: value[3] as number,
    tarTime: value[4] as number,
    isPatched: value[5] === 1,
    checksum: Uint8Array.fromHex(value[6] as string),
  }
}

function parseIncrement(value: unknown[]): RecordedIncrement {
  return {
    name: value[1] as string,
    fileSizeBytes: value[2] as number,
    finalSizeBytes: value[3] as number,
    blocks: new Uint32Array(Uint8Array.fromHex(value[4] as string).buffer),
  }
}

function parseName(value: unknown): { name: string; bytes?: Uint8Array } {
  if (typeof value === 'string') return { name: value }
  const bytes = Uint8Array.fromHex((value as { hex: string }).hex)
  return { name: new TextDecoder().decode(bytes), bytes }
}

/** Lines of a file; none when it is missing. */
function* fileLines(file: string): Generator<string> {
  let fd: number
  try {
    fd = fs.openSync(file, 'r')
  } catch (error) {
    const coded = fromSystemError(error, 'read', file)
    if (coded.code === 'FILE_NOT_FOUND') return
    throw coded
  }
  try {
    const decoder = new TextDecoder()
    const piece = new Uint8Array(READ_BYTES)
    let rest = ''
    for (let count = fs.readSync(fd, piece); count > 0; count = fs.readSync(fd, piece)) {
      const lines = (rest + decoder.decode(piece.subarray(0, count), { stream: true })).split('\n')
      rest = lines.pop()!
      yield* lines
    }
  } finally {
    fs.closeSync(fd)
  }
}
