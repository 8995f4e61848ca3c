import type { RetentionPolicy } from './policy.ts'

/** A backup by name (exact, or the beginning of one name only), or by time. */
export type BackupReference =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'time'; readonly timeNs: bigint }

/** What `delete` is asked for, one kind for each sub-command. */
export type DeleteRequest =
  | { readonly kind: 'before'; readonly isFullFound: boolean; readonly reference: BackupReference }
  | {
      readonly kind: 'retain'
      readonly modifier: 'FULL' | 'FIND_FULL' | null
      readonly count: number
      readonly after: BackupReference | null
    }
  | { readonly kind: 'everything'; readonly isForced: boolean }
  | {
      readonly kind: 'target'
      /** The whole chain: everything that shares the full. */
      readonly isWholeChain: boolean
      readonly selection:
        | { readonly kind: 'name'; readonly name: string }
        | { readonly kind: 'latest' }
        | { readonly kind: 'user-data'; readonly json: string }
    }
  | {
      readonly kind: 'garbage'
      readonly mode: 'all' | 'archives' | 'backups'
      readonly isWithoutBackupCheck: boolean
    }
  | { readonly kind: 'policy'; readonly policy: RetentionPolicy }

/** What every kind needs to know. */
export interface PlanOptions {
  readonly segmentBytes: number
  /** Folders without a sentinel are left alone until their newest object is as old as this. */
  readonly garbageMinAgeMs: number
  readonly nowNs: bigint
  /** `--use-sentinel-time`: times are compared with the start of a backup instead of its sentinel's modification time. */
  readonly isStartTimeUsed: boolean
}
