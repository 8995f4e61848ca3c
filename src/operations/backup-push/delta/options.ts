import type { ChangesOptions } from '../changes/find-changed-pages.ts'

/** Whether a backup may be a delta, and on what. */
export interface DeltaOptions {
  /** Longest chain; 0: only full backups. */
  readonly stepsMax: number
  readonly origin: 'LATEST' | 'LATEST_FULL'
  /** The parent by name (or `LATEST`), or by its user data (JSON text); at most one of them. */
  readonly fromName: string | undefined
  readonly fromUserData: string | undefined
  /** A full backup was asked for. */
  readonly isFull: boolean
  /** A delta that would be larger than this share of a full is taken as a full; undefined: never. */
  readonly ratioMax: number | undefined
  readonly changes: ChangesOptions
}
