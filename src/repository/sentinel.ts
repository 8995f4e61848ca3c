import type { ByteStream } from '../kit/bytes.ts'
import type { Timestamp } from '../kit/timestamp.ts'
import type { Lsn } from '../postgres/lsn.ts'
import type { BackupName } from './backup-name.ts'
import type { FilesMetadata } from './files-metadata.ts'

/** Where a delta hangs (storage-format 2.1): all four are always there together. */
export interface DeltaLink {
  /** The parent's start LSN: increments hold pages with this LSN or later. */
  readonly lsn: Lsn
  readonly parent: BackupName
  readonly full: BackupName
  /** 1 for the first delta after a full. */
  readonly count: number
}

/** Tablespaces (storage-format 2.2). */
export interface TablespaceSpec {
  /** The original PGDATA. */
  readonly basePrefix: string
  readonly tablespaces: readonly { readonly oid: string; readonly location: string; readonly link: string }[]
}

/** Ours: where the content manifest lies and what it must be, so that a lost one is noticed. */
export interface ContentManifestLink {
  /** Relative to `<BACKUP>/`. */
  readonly object: string
  readonly sizeBytes: number
  /** Of the stored bytes, `xxh3-128:<hex>`. */
  readonly hash: string
}

/** `<BACKUP>_backup_stop_sentinel.json`, any version, with exact numbers. */
export interface Sentinel {
  /** Start LSN; null only in foreign sentinels. */
  readonly lsn: Lsn | null
  readonly finishLsn: Lsn | null
  readonly delta: DeltaLink | null
  readonly pgVersion: number
  readonly systemIdentifier: bigint | null
  readonly uncompressedSizeBytes: number
  readonly compressedSizeBytes: number
  /** 0 = not known. */
  readonly dataCatalogSizeBytes: number
  readonly spec: TablespaceSpec | null
  /** Valid JSON text, exactly as stored; null when absent. */
  readonly userData: string | null
  readonly isFilesMetadataDisabled: boolean
  /** 2, or 0 for sentinels of WAL-G 1.1 and older and WAL-E. */
  readonly version: number
  readonly startTime: Timestamp | null
  readonly finishTime: Timestamp | null
  readonly hostname: string
  readonly dataDirectory: string
  /** At creation; `metadata.json` is the authority. */
  readonly isPermanent: boolean
  readonly contentManifest: ContentManifestLink | null
}

/** What a version 1 sentinel carries inline. */
export interface SentinelDocument {
  readonly sentinel: Sentinel
  /** `Files`/`TarFileSets` of a version 1 sentinel. */
  readonly inlineFiles: FilesMetadata | null
}

/** The text of a version 2 sentinel, keys in the original's order. `version` is ignored: always 2. */
export declare function formatSentinel(sentinel: Sentinel): string
/** Any version. Throws BACKUP_BROKEN naming `key` when it is empty, cut, no JSON or inconsistent. */
export declare function readSentinelDocument(key: string, body: ByteStream): Promise<SentinelDocument>
