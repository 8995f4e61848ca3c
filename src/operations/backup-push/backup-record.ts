import { incrementSizeBytes } from '../../delta/increment.ts'
import { BLOCKS_MAX } from '../../delta/page-selection.ts'
import { HASH_ALGORITHM } from '../../kit/hash.ts'
import { localTimestampFromNs } from '../../kit/timestamp.ts'
import { isPagedFile } from '../../postgres/relation-file.ts'
import type { CorruptBlocks, FileEntry, FilesMetadataSource } from '../../repository/files-metadata.ts'
import { PARTS_FOLDER } from '../../repository/layout.ts'
import type { KeptFile, ManifestFile, ManifestObject, ManifestSource } from '../../repository/manifest.ts'
import type { TarMember } from '../../tar/pack.ts'
import type { BackupIdentity } from './contents.ts'
import type { NumberedPart } from './part/pack-task.ts'
import type { PackedFiles } from './part/packed-files.ts'
import type { StoredPart } from './part/part.ts'

/** A member that the main thread has packed: pg_control, the labels, WAL. */
export interface SmallMember {
  readonly name: string
  readonly sizeBytes: number
  readonly hash: string
}

/** A part that the main thread has packed. */
export interface SmallPart extends StoredPart {
  readonly members: readonly SmallMember[]
  /** Times of those members that are listed in `Files`. */
  readonly listed: readonly { readonly name: string; readonly mtimeNs: bigint }[]
  /** Names for `TarFileSets`; empty: not recorded there (pg_control). */
  readonly recorded: readonly string[]
}

/** Everything that was packed, and where it is. */
export interface PackedContents {
  readonly identity: BackupIdentity
  readonly pageBytes: number
  readonly files: PackedFiles
  readonly headers: readonly TarMember[]
  readonly parts: readonly NumberedPart[]
  readonly smallParts: readonly SmallPart[]
  /** Damaged pages by entry. */
  readonly damage: ReadonlyMap<number, readonly number[]>
  readonly storesAllCorrupt: boolean
  /** False: what the parent has seen of damage is all that is known. */
  readonly isVerified: boolean
}

const CORRUPT_BLOCKS_LISTED_MAX = 10

/** `files_metadata.json` straight from the columns of the push (storage-format 2.4). */
export function filesMetadataOf(packed: PackedContents, databases: string | null): FilesMetadataSource {
  const { files } = packed
  const byPart = filesByPart(files)
  const numbers = new Map(packed.parts.map(part => [part.name, part.number]))
  const small = new Map(packed.smallParts.map(part => [part.name, part]))
  return {
    filesCount: packed.headers.length + byPart.listed.length + listedCount(packed),
    databases,
    *entries(): Generator<FileEntry> {
      const entry = { isIncremented: false, isSkipped: false }
      for (const { name, mtimeNs } of packed.headers)
        yield { ...entry, name, mtime: localTimestampFromNs(mtimeNs) }
      for (const index of byPart.listed) {
        const mtimeNs = files.mtimeNs(index)
        const corruptBlocks = damageOf(packed, index)
        const state = files.state(index)
        yield {
          isIncremented: state === 'incremented',
          isSkipped: state === 'unchanged',
          name: files.memberName(index),
          mtime: localTimestampFromNs(mtimeNs),
          updatesCount: files.updatesCount(index),
          ...(corruptBlocks === undefined ? {} : { corruptBlocks }),
        }
      }
      for (const part of packed.smallParts) {
        for (const { name, mtimeNs } of part.listed)
          yield { ...entry, name, mtime: localTimestampFromNs(mtimeNs) }
      }
    },
    partNames: () => [
      ...packed.parts.map(part => part.name),
      ...packed.smallParts.filter(part => part.recorded.length > 0).map(part => part.name),
    ],
    *partMembers(part: string): Generator<string> {
      const number = numbers.get(part)
      if (number === undefined) {
        yield* small.get(part)?.recorded ?? []
        return
      }
      if (number === 1) for (const { name } of packed.headers) yield name
      for (const index of byPart.ofPart(number)) yield files.memberName(index)
    },
  }
}

/** The content manifest straight from the columns of the push. */
export function contentManifestOf(packed: PackedContents): ManifestSource {
  const { files } = packed
  const { name, walkedNs, databases } = packed.identity
  const byPart = filesByPart(files)
  const keyOf = (part: string): string => `${PARTS_FOLDER}/${part}`
  return {
    header: {
      backup: name,
      hashAlgorithm: HASH_ALGORITHM,
      walkedNs,
      ...(databases === undefined ? {} : { databases }),
    },
    filesCount: byPart.packedCount + packed.smallParts.reduce((sum, part) => sum + part.members.length, 0),
    *objects(): Generator<ManifestObject> {
      for (const { name, storedBytes, storedHash } of [...packed.parts, ...packed.smallParts]) {
        yield { key: keyOf(name), sizeBytes: storedBytes, hash: storedHash }
      }
    },
    *files(): Generator<ManifestFile> {
      for (const part of packed.parts) {
        const object = keyOf(part.name)
        for (const index of byPart.ofPart(part.number)) {
          yield { ...fileOf(packed, index), object, hash: files.hash(index) }
        }
      }
      for (const part of packed.smallParts) {
        for (const member of part.members) yield { ...member, object: keyOf(part.name) }
      }
    },
    *kept(): Generator<KeptFile> {
      for (const index of byPart.listed) {
        // most files of a small cluster are no pages: no name is made of those
        if (files.state(index) !== 'unchanged' || files.sizeBytes(index) % packed.pageBytes !== 0) continue
        const kept = keptOf(packed, index)
        if (kept !== undefined) yield kept
      }
    },
  }
}

/** Name and sizes of a packed file: of an increment also that of the whole file. */
function fileOf({ files, pageBytes }: PackedContents, index: number): Omit<ManifestFile, 'object' | 'hash'> {
  const name = files.memberName(index)
  const sizeBytes = files.sizeBytes(index)
  const usedBytes = files.usedBlocks(index) * pageBytes
  const isPaged = isPagedFile(name, sizeBytes, pageBytes)
  const used = { ...(isPaged && usedBytes !== sizeBytes ? { usedBytes } : {}), zeroes: files.zeroes(index) }
  if (files.state(index) !== 'incremented') return { name, sizeBytes, ...used }
  const storedBytes = incrementSizeBytes(files.pages(index), pageBytes)
  return { name, sizeBytes: storedBytes, fileSizeBytes: sizeBytes, ...used }
}

/** What the next delta wants to know of a file that is the parent's; nothing of one without pages. */
function keptOf({ files, pageBytes }: PackedContents, index: number): KeptFile | undefined {
  const name = files.memberName(index)
  const sizeBytes = files.sizeBytes(index)
  if (!isPagedFile(name, sizeBytes, pageBytes)) return undefined
  const parent = files.parent(index)
  const usedBytes = (parent?.usedBlocks ?? BLOCKS_MAX) * pageBytes
  return { name, sizeBytes, ...(usedBytes === sizeBytes ? {} : { usedBytes }), zeroes: parent?.zeroes }
}

function listedCount(packed: PackedContents): number {
  return packed.smallParts.reduce((sum, part) => sum + part.listed.length, 0)
}

function damageOf(packed: PackedContents, index: number): CorruptBlocks | undefined {
  const blocks = packed.damage.get(index)
  if (blocks === undefined) return packed.isVerified ? undefined : packed.files.parentDamage(index)
  const storesAll = packed.storesAllCorrupt
  return { count: blocks.length, some: storesAll ? blocks : blocks.slice(0, CORRUPT_BLOCKS_LISTED_MAX) }
}

interface FilesByPart {
  /** Entries of all files of the backup: those that were packed, in the order of handing out, and the parent's. */
  readonly listed: Uint32Array
  readonly packedCount: number
  ofPart(number: number): Uint32Array
}

/** Sorts the files into their parts by counting: two columns of 4 bytes for each file. */
function filesByPart(files: PackedFiles): FilesByPart {
  const counts: number[] = []
  let packedCount = 0
  let keptCount = files.skipped().length
  for (const index of files.copied()) {
    const part = files.part(index)
    counts[part] = (counts[part] ?? 0) + 1
    packedCount += 1
  }
  for (const index of files.indexes()) {
    if (files.state(index) === 'unchanged') keptCount += 1
    if (!files.isPacked(index)) continue
    const part = files.part(index)
    counts[part] = (counts[part] ?? 0) + 1
    packedCount += 1
  }
  const begins: number[] = [0]
  for (let part = 0; part < counts.length; part++) begins[part + 1] = begins[part]! + (counts[part] ?? 0)
  const listed = new Uint32Array(packedCount + keptCount)
  const sorted = new Uint32Array(packedCount)
  const next = [...begins]
  let at = 0
  for (const index of files.indexes()) {
    const isPacked = files.isPacked(index)
    if (isPacked || files.state(index) === 'unchanged') listed[at++] = index
    if (!isPacked) continue
    const part = files.part(index)
    sorted[next[part]!] = index
    next[part]! += 1
  }
  for (const index of files.copied()) {
    listed[at++] = index
    const part = files.part(index)
    sorted[next[part]!] = index
    next[part]! += 1
  }
  listed.set(files.skipped(), at)
  return {
    listed,
    packedCount,
    ofPart: number => sorted.subarray(begins[number] ?? packedCount, begins[number + 1] ?? packedCount),
  }
}
