import type { BackupName } from '../../repository/backup-name.ts'
import type { BackupSelection } from '../../repository/selector.ts'

export interface VerifyOptions {
  /** One backup with everything it hangs on, or all. */
  readonly selection: BackupSelection | { readonly kind: 'all' }
  /** Leaves alone what an earlier run verified and nobody has changed since. */
  readonly isIncremental: boolean
  /** What was verified longer ago is read again; null: never for that reason. */
  readonly maxAgeMs: number | null
  /** Reads so much of all stored bytes, what was verified longest ago first; 100: everything. */
  readonly percent: number
  /** Also the WAL behind the end of each backup, up to the newest segment of its timeline. */
  readonly isToNow: boolean
  readonly segmentBytes: number
  readonly pageBytes: number
  readonly nowNs: bigint
}

export interface Finding {
  readonly severity: 'error' | 'warning'
  /** Null: of the archive as a whole. */
  readonly backup: BackupName | null
  /** Key of the object; null: of the backup as a whole. */
  readonly object: string | null
  readonly message: string
}

export interface ObjectCounts {
  /** Objects that belong to it. */
  readonly count: number
  readonly sizeBytes: number
  /** Read in this run and found good. */
  readonly verified: number
  readonly verifiedBytes: number
  /** Found good by an earlier run and not changed since. */
  readonly trusted: number
  /** Found damaged or missing. */
  readonly damaged: number
  /** Neither: this run did not come to them. */
  readonly left: number
}

export interface BackupReport {
  readonly name: BackupName
  readonly isGood: boolean
  /** False: written by the original, which stores no hashes; structure and pages were looked at. */
  readonly hasHashes: boolean
  readonly parts: ObjectCounts
  readonly wal: ObjectCounts
  /** When the object that was verified longest ago was; null while one has never been. */
  readonly verifiedNs: bigint | null
}

export interface VerifyReport {
  readonly status: 'OK' | 'FAILURE'
  readonly storageName: string
  readonly beganNs: bigint
  readonly endedNs: bigint
  readonly backups: readonly BackupReport[]
  readonly findings: readonly Finding[]
}
