import type { ZeroRuns } from '../../../delta/zero-runs.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { copiedPartName, isLatePart, partExtension } from '../../../repository/layout.ts'
import type { ParentFiles } from '../delta/parent/parent-files.ts'
import { isSettled } from '../delta/plan-files.ts'
import type { CopiedFiles, CopiedPart } from './copied-files.ts'
import type { SourceParts } from './source-parts.ts'

export interface CopiesInput {
  readonly entries: DataEntries
  /** Which entries are files of the backup. */
  readonly isFile: (index: number) => boolean
  /** What the earlier backup has; a full one. */
  readonly parent: Pick<ParentFiles, 'files' | 'sizes' | 'settledNs'>
  readonly parts: SourceParts
  readonly pageBytes: number
  /** Of the parts that are written now. */
  readonly extension: string
}

const CHANGED = -1

/**
 * Decides which parts of an earlier full backup are taken over as they are (storage-format 8, more carefully): those all of whose
 * members are files of the new backup to which nothing at all has happened since the earlier one looked. A file is held to
 * that by its size, its time, and its time of change, which nobody can set.
 *
 * Always packed anew are the parts with the directories, with WAL, pg_control and the labels, and parts with a file that had
 * damaged pages: it is looked at again.
 */
export function planCopies(input: CopiesInput): CopiedFiles {
  const { entries, parent, parts } = input
  const rows = findUnchanged(input)
  const counts = new Uint32Array(parts.objects.length)
  const bytes = new Float64Array(parts.objects.length)
  for (let index = 0; index < rows.length; index++) {
    if (rows[index] === CHANGED) continue
    const part = parts.partOf(rows[index]!)!
    counts[part]! += 1
    bytes[part]! += entries.sizeBytes(index)
  }
  const positions = new Map<number, number>()
  const copied: CopiedPart[] = []
  let filesCount = 0
  for (const [part, source] of parts.objects.entries()) {
    if (counts[part] === 0 || counts[part] !== parts.filesCount(part) || !isCopied(input, part)) continue
    const name = copiedPartName(copied.length, input.extension)
    positions.set(part, copied.push({ source, name, contentBytes: bytes[part]! }) - 1)
    filesCount += counts[part]!
  }
  return { parts: copied, ...columnsOf(parent, parts, rows, positions, filesCount) }
}

/** By entry: the row of a file that is as it was, or CHANGED. */
function findUnchanged(input: CopiesInput): Int32Array {
  const { entries, isFile, parent, parts } = input
  const rows = new Int32Array(entries.count).fill(CHANGED)
  const scratch = new Uint8Array(entries.memberNameBytesMax)
  for (let index = 0; index < entries.count; index++) {
    if (!isFile(index)) continue
    const row = parent.files.findSlice(scratch, 0, entries.writeMemberName(index, scratch))
    if (row < 0 || parts.partOf(row) === undefined) continue
    if (parts.sizeBytes(row) !== entries.sizeBytes(index)) continue
    if (parent.files.isIncremented(row) || parent.files.isSkipped(row)) continue
    if (parent.files.hasCorruptBlocks(row)) continue
    if (isSettled(input, index, row, parent.sizes.at(row))) rows[index] = row
  }
  return rows
}

/** What its members do not tell: it is sealed as parts are now, and holds nothing that is not in the manifest. */
function isCopied({ parent, parts, extension }: CopiesInput, part: number): boolean {
  const { key } = parts.objects[part]!
  const name = key.slice(key.lastIndexOf('/') + 1)
  if (!parts.isPlain(part) || isLatePart(name) || partExtension(name) !== extension) return false
  let membersCount = 0
  for (const _ of parent.files.partMembers(name)) membersCount += 1
  return membersCount === parts.filesCount(part)
}

/** Everything the new lists say of the files in copied parts, so that those of the earlier backup need not be kept. */
function columnsOf(
  parent: CopiesInput['parent'],
  source: SourceParts,
  rows: Int32Array,
  positions: ReadonlyMap<number, number>,
  filesCount: number,
): Omit<CopiedFiles, 'parts'> {
  const indexes = new Uint32Array(filesCount)
  const partOf = new Uint32Array(filesCount)
  const hashes = new BigUint64Array(filesCount * 2)
  const usedBlocks = new Uint32Array(filesCount)
  const zeroes = new Map<number, ZeroRuns>()
  const updates = new Map<number, bigint>()
  let at = 0
  for (const [index, row] of rows.entries()) {
    const position = row === CHANGED ? undefined : positions.get(source.partOf(row)!)
    if (position === undefined) continue
    indexes[at] = index
    partOf[at] = position
    hashes[at * 2] = source.hashHalf(row, 0)
    hashes[at * 2 + 1] = source.hashHalf(row, 1)
    const known = parent.sizes.at(row)
    usedBlocks[at] = known?.usedBlocks ?? 0
    if (known?.zeroes !== undefined) zeroes.set(index, known.zeroes)
    const count = parent.files.updatesCount(row)
    if (count > 0n) updates.set(index, count)
    at += 1
  }
  return { indexes, partOf, hashes, usedBlocks, zeroes, updates }
}
