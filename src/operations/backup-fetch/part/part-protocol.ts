import type { CodecDescription } from '../../../codec/codec.ts'
import type { PlainError } from '../../../kit/error-transport.ts'
import type { StorageDescription } from '../../../storage/description.ts'
import type { MemberTableData } from '../plan/member-table.ts'
import type { TargetLayout } from '../target/target-tree.ts'

/** Checksums for PostgreSQL's backup_manifest. */
export type ManifestChecksums = 'none' | 'crc32c' | 'sha256'

/** What holds for a whole fetch; sent to every worker once. */
export interface FetchSetup {
  readonly storage: StorageDescription
  readonly codec: CodecDescription
  readonly layout: TargetLayout
  readonly pageBytes: number
  /** Every file is flushed to disk before its part counts as done. */
  readonly isDurable: boolean
  readonly checksums: ManifestChecksums
  /** A file that is there and has the hash of the content manifest is left as it is. */
  readonly keepsMatching: boolean
  /** Increments are applied to the files of a standby, which need not have all of them. */
  readonly isCatchup: boolean
  readonly signals: FetchSignalsData
  /** For tests: a module whose `openFileSystem(options)` stands between the restored files and the system. */
  readonly systemModule: SystemModuleDescription | null
}

export interface SystemModuleDescription {
  readonly url: string
  readonly options: unknown
}

/** What the content manifest of a backup says, by row of the table. */
export interface ExpectationsData {
  /** 16 bytes for each row. */
  readonly hashes: SharedArrayBuffer
  /** Float64 for each row. */
  readonly sizes: SharedArrayBuffer
  /** Uint32 for each row: number of the object, from 1; 0 = not in the manifest. */
  readonly objects: SharedArrayBuffer
}

/** What the newer backups of a chain have written into each file, see newer-pages.ts. */
export interface NewerPagesData {
  /** Int32 per row: 0 = nothing newer, -1 = whole already, else the number of its entry, from 1. */
  readonly slots: SharedArrayBuffer
  /** Float64, five for each entry: limit, cover, size of the file, beginning and length of its bits in bytes. */
  readonly entries: SharedArrayBuffer
  /** One bit per block that is written. */
  readonly bits: SharedArrayBuffer
}

/** One backup of the chain, as the workers see it. */
export interface BackupJob {
  readonly backup: string
  readonly isDelta: boolean
  /** False for an older backup of the chain. */
  readonly isTarget: boolean
  /** Null: the backup has no list of files, everything is unpacked. */
  readonly table: MemberTableData | null
  /** One byte per row, see member-roles.ts. */
  readonly roles: SharedArrayBuffer
  /** Int32 per row: number of the part that writes the file, so that two never do. */
  readonly owners: SharedArrayBuffer
  readonly expectations: ExpectationsData | null
  /** What newer backups of the chain wrote; null for the newest. */
  readonly newer: NewerPagesData | null
  /** Without a table: names that are left out all the same. */
  readonly dropped: readonly string[]
}

export interface PartJob {
  readonly kind: 'part'
  readonly of: BackupJob
  /** Of the part within its backup, from 1. */
  readonly number: number
  /** Which of the storages that have the backup is read first, from 0. */
  readonly copy: number
  /** Base name, for messages. */
  readonly part: string
  readonly key: string
  readonly extension: string
  /** pg_control and the label files are taken from late parts where these exist. */
  readonly isLate: boolean
  readonly leavesControlFile: boolean
  readonly expectedSizeBytes: number | null
  readonly expectedHash: string | null
  /** Number of the object in the content manifest, from 1; 0 without one. */
  readonly manifestObject: number
}

/** Reads restored files again, for their checksums in backup_manifest. */
export interface ChecksumJob {
  readonly kind: 'checksum'
  readonly names: readonly string[]
}

export type WorkerRequest =
  | { readonly kind: 'setup'; readonly setup: FetchSetup }
  | { readonly id: number; readonly job: PartJob | ChecksumJob }

export type WorkerReply =
  | { readonly id: number; readonly result: PartResult | ChecksumResult }
  | { readonly id: number; readonly failure: PlainError }

/** What a part brought. Columns have an entry for each of `count` files, and room to spare. */
export interface PartResult {
  readonly count: number
  /** Rows of the table; meaningless where `names` has any. */
  readonly rows: Uint32Array
  /** Names instead of rows; a Uint8Array where a name is not UTF-8. */
  readonly names: readonly (string | Uint8Array)[]
  readonly sizes: Float64Array
  /** Of the restored file, in whole microseconds: only compared, to see that nobody touched it. */
  readonly mtimes: Float64Array
  /** Of the original file, in seconds. */
  readonly tarTimes: Float64Array
  /** `checksumBytes` for each file; zeros for a patched one. */
  readonly checksums: Uint8Array
  /** 1 for a patched file: its checksum is not known. */
  readonly isPatched: Uint8Array
  /** Of `incrementsCount` increments: the row; the size of the file, and what it is with pages beyond that. */
  readonly incrementsCount: number
  readonly incrementRows: Uint32Array
  readonly incrementSizes: Float64Array
  readonly incrementFinalSizes: Float64Array
  /** Where the numbers of its blocks end in `incrementBlocks`. */
  readonly incrementEnds: Uint32Array
  readonly incrementBlocks: Uint32Array
  /** Rows of `seenCount` members that are no files, or duplicates that another part wrote. */
  readonly seen: Uint32Array
  readonly seenCount: number
  readonly directories: readonly { readonly name: TargetNameData; readonly mode: number }[]
  /** Links, pipes and devices that were left out. */
  readonly ignored: readonly string[]
  /** Sum of the sizes of all regular members, unpacked or not. */
  readonly memberBytes: number
  readonly storedBytes: number
  /** Of the stored bytes; null unless the manifest asked for it. */
  readonly storedHash: string | null
}

export type TargetNameData = { readonly name: string; readonly bytes?: Uint8Array | undefined }

export interface ChecksumResult {
  /** Of all files in order; as many bytes each as the algorithm has. */
  readonly checksums: Uint8Array
}

/** Shared memory of the main thread and all workers. */
export interface FetchSignalsData {
  /** Int32: 1 = stop at the next block. */
  readonly stop: SharedArrayBuffer
  /** BigInt64: stored bytes read so far. */
  readonly readBytes: SharedArrayBuffer
}

/** Bytes of one checksum. */
export function checksumBytes(checksums: ManifestChecksums): number {
  return checksums === 'none' ? 0 : checksums === 'crc32c' ? 4 : 32
}
