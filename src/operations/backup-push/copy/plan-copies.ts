import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { copiedPartName, isLatePart, partExtension } from '../../../repository/layout.ts'
import type { ParentFiles } from '../delta/parent-files.ts'
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
  const unchanged = findUnchanged(input)
  const counts = new Uint32Array(parts.objects.length)
  const bytes = new Float64Array(parts.objects.length)
  for (const [index, row] of unchanged) {
    const part = parts.partOf(row)!
    counts[part]! += 1
    bytes[part]! += entries.sizeBytes(index)
  }
  const positions = new Map<number, number>()
  const copied: CopiedPart[] = []
  for (const [part, source] of parts.objects.entries()) {
    if (counts[part] === 0 || counts[part] !== parts.filesCount(part) || !isCopied(input, part)) continue
    const name = copiedPartName(copied.length, input.extension)
    positions.set(part, copied.push({ source, name, contentBytes: bytes[part]! }) - 1)
  }
  return columnsOf(
    parent,
    parts,
    copied,
    unchanged.filter(([, row]) => positions.has(parts.partOf(row)!)),
    positions,
  )
}

/** Entry and row of the files that are as they were. */
function findUnchanged(input: CopiesInput): readonly (readonly [number, number])[] {
  const { entries, isFile, parent, parts } = input
  const unchanged: [number, number][] = []
  const scratch = new Uint8Array(entries.memberNameBytesMax)
  for (let index = 0; index < entries.count; index++) {
    if (!isFile(index)) continue
    const row = parent.files.findSlice(scratch, 0, entries.writeMemberName(index, scratch))
    if (row < 0 || parts.partOf(row) === undefined) continue
    if (parts.sizeBytes(row) !== entries.sizeBytes(index)) continue
    if (parent.files.isIncremented(row) || parent.files.isSkipped(row)) continue
    if (parent.files.hasCorruptBlocks(row)) continue
    if (isSettled(input, index, row, parent.sizes.at(row))) unchanged.push([index, row])
  }
  return unchanged
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

function columnsOf(
  parent: CopiesInput['parent'],
  source: SourceParts,
  parts: readonly CopiedPart[],
  files: readonly (readonly [number, number])[],
  positions: ReadonlyMap<number, number>,
): CopiedFiles {
  const hashes = new BigUint64Array(files.length * 2)
  const updates = new Map<number, bigint>()
  for (const [at, [index, row]] of files.entries()) {
    hashes[at * 2] = source.hashHalf(row, 0)
    hashes[at * 2 + 1] = source.hashHalf(row, 1)
    const count = parent.files.updatesCount(row)
    if (count > 0n) updates.set(index, count)
  }
  return {
    parts,
    indexes: Uint32Array.from(files, ([index]) => index),
    partOf: Uint32Array.from(files, ([, row]) => positions.get(source.partOf(row)!)!),
    hashes,
    usedBlocks: Uint32Array.from(files, ([, row]) => parent.sizes.at(row)?.usedBlocks ?? 0),
    updates,
  }
}
