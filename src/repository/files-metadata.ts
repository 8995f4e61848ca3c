import type { ByteStream } from '../kit/bytes.ts'
import type { Timestamp } from '../kit/timestamp.ts'

export interface CorruptBlocks {
  readonly count: number
  /** Relative to the segment file, ascending. */
  readonly some: readonly number[]
}

/** One entry of `Files`: a packed, incremented or skipped file, a directory or another header-only member. */
export interface FileEntry {
  /** The tar member name, byte for byte; valid UTF-8. */
  readonly name: string
  readonly isIncremented: boolean
  readonly isSkipped: boolean
  /** Taken before the content was read; offset = the zone of the backup's host. */
  readonly mtime: Timestamp
  readonly updatesCount?: bigint
  readonly corruptBlocks?: CorruptBlocks
}

/** `<BACKUP>/files_metadata.json` in columns: a million files in well under 100 MiB (storage-format 2.4). */
export declare class FilesMetadata {
  /** Count of entries of `Files`. */
  readonly filesCount: number
  /** Raw JSON text of `DatabasesByNames`, or null. */
  databases: string | null
  /** Adds or replaces an entry; returns its index. */
  addFile(entry: FileEntry): number
  /** Records a member of a part in `TarFileSets`; the name need not be in `Files`. */
  addPartMember(part: string, name: string): void
  /** Index of an entry of `Files`, or -1. */
  find(name: string): number
  /** The same for the UTF-8 bytes of a tar header. */
  findBytes(bytes: Uint8Array): number
  name(index: number): string
  isIncremented(index: number): boolean
  isSkipped(index: number): boolean
  mtimeNs(index: number): bigint
  entry(index: number): FileEntry
  /** Every entry of `Files`, in the order of adding. */
  entries(): Generator<FileEntry>
  /** Indexes of the entries of `Files`. */
  indexes(): Generator<number>
  /** Names of the parts in `TarFileSets`, in the order of adding. */
  partNames(): string[]
  /** Member names of a part; empty for an unknown part. */
  partMembers(part: string): Generator<string>
}

/** Streamed, pieces of about 256 KiB. Throws FORMAT_INVALID for a name that is not well-formed Unicode. */
export declare function encodeFilesMetadata(files: FilesMetadata): AsyncGenerator<Uint8Array>
/** Streamed. Throws BACKUP_BROKEN naming `key`. */
export declare function decodeFilesMetadata(key: string, body: ByteStream): Promise<FilesMetadata>
