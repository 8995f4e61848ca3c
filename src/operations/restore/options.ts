import type { ConnectionSettings } from '../../postgres/cluster/cluster.ts'
import type { RecoveryAction, RecoveryTarget } from '../../postgres/recovery-target.ts'
import type { TablespaceMapping } from '../../repository/tablespace-spec.ts'
import type { TimelineChoice } from './plan/backup-wal.ts'

/** What is to be recovered to, and what happens there. */
export interface RecoveryChoice {
  readonly target: RecoveryTarget
  readonly action: RecoveryAction
  readonly timeline: TimelineChoice
  /** False: nobody has chosen it, and it is `latest`. */
  readonly isTimelineGiven: boolean
  /** Only this backup; null: the newest that will do. */
  readonly backupName: string | null
}

/** A file of settings that restore_command reads. */
export interface KeptSettings {
  readonly path: string
  /** JSON, with secrets: readable by the owner only. */
  readonly text: string
}

export interface RestoreOptions extends RecoveryChoice {
  readonly destination: string
  readonly isIntoExisting: boolean
  readonly tablespaceMapping: readonly TablespaceMapping[]
  /** With `%f` and `%p`. */
  readonly restoreCommand: string
  /** Null: restore_command reads a file that is there. */
  readonly keptSettings: KeptSettings | null
  readonly isArchivingOff: boolean
  /** WALG_PG_WAL_SIZE in bytes. */
  readonly segmentBytes: number
}

export interface StartOptions {
  /** WALG_PG_BIN_DIR. */
  readonly binDirectory: string | undefined
  readonly searchPath: readonly string[]
  /** Undefined: the one that its configuration says. */
  readonly port: number | undefined
  readonly timeoutMs: number
  readonly connection: ConnectionSettings
  /** Name of the user of the operating system, whose role is tried. */
  readonly userName: string | undefined
}

/** How a restore gets the files of a backup: `backup-fetch`, which is an operation of its own, handed in by `cli/`. */
export type FetchFiles = (request: FetchRequest) => Promise<void>

export interface FetchRequest {
  readonly destination: string
  readonly backupName: string
  readonly isIntoExisting: boolean
  readonly tablespaceMapping: readonly TablespaceMapping[]
  /** Called when every file is in place and PostgreSQL does not start yet; may be called again after an interruption. */
  readonly beforeControlFile: (root: string) => Promise<void>
}
