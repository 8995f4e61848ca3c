import type { Timestamp } from '../kit/timestamp.ts'
import type { Lsn } from '../postgres/lsn.ts'

/** `<BACKUP>/metadata.json` (storage-format 2.3): the authority for permanence and user data. */
export interface BackupMetadata {
  readonly startTime: Timestamp
  readonly finishTime: Timestamp
  readonly hostname: string
  readonly dataDirectory: string
  readonly pgVersion: number
  readonly startLsn: Lsn
  readonly finishLsn: Lsn
  readonly isPermanent: boolean
  readonly systemIdentifier: bigint | null
  readonly uncompressedSizeBytes: number
  readonly compressedSizeBytes: number
  /** Valid JSON text, exactly as stored; null when absent. */
  readonly userData: string | null
}

export declare function formatMetadata(metadata: BackupMetadata): string
/** Throws BACKUP_BROKEN naming `key`. */
export declare function parseMetadata(key: string, text: string): BackupMetadata
