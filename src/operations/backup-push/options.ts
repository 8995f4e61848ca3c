import type { ConnectionSettings } from '../../postgres/cluster/cluster.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import type { Composer } from './composer.ts'
import type { DeltaOptions } from './delta/options.ts'

/** What a backup of a local data directory needs to know. */
export interface BackupPushOptions {
  /** As given by the person; compared with the server's own after resolving both. */
  readonly dataDirectory: string
  readonly connection: ConnectionSettings
  /** How to reach the primary when the server is a standby; undefined: not at all. */
  readonly primary?: ConnectionSettings | undefined
  readonly isPermanent: boolean
  /** Valid JSON text, stored exactly as it is; null for none. */
  readonly userData: string | null
  readonly delta: DeltaOptions
  readonly composer?: Composer
  /** A catchup backup: of pages only those with this LSN or a later one, for a standby that has replayed so far. */
  readonly catchupFromLsn?: Lsn
  readonly isVerifying: boolean
  /** Damaged pages fail the backup. */
  readonly failsOnCorrupt: boolean
  /** Record the number of every damaged page, not only of the first ten of a file. */
  readonly storesAllCorrupt: boolean
  readonly hasFilesMetadata: boolean
  /** Record which file belongs to which table. */
  readonly hasDatabaseNames: boolean
  readonly partBytesMax: number
  /** Parts packed side by side. */
  readonly partsAtOnce: number
  /** Undefined: no limit. */
  readonly diskBytesPerSecond: number | undefined
  readonly walSegmentBytes: number
  readonly pageBytes: number
  /** 0: never. */
  readonly aliveCheckMs: number
  /** From the call that stops the backup until its WAL is archived; 0: no limit. */
  readonly stopTimeoutMs: number
}

export interface BackupPushResult {
  readonly name: string
  readonly storageName: string
  /** Null for a full backup. */
  readonly parent: string | null
  readonly uncompressedBytes: number
  readonly compressedBytes: number
  readonly filesCount: number
  readonly partsCount: number
  /** Pages whose checksum is wrong, in all files. */
  readonly corruptPagesCount: number
}
