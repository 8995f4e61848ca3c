import type { RecoveryTarget } from '../../postgres/recovery-target.ts'
import type { ServerPrograms } from '../../postgres/server/programs.ts'
import type { TimelineId } from '../../postgres/wal-segment.ts'
import type { TablespaceSpec } from '../../repository/tablespace-spec.ts'

/** A restore that was proved possible, as far as a drill has to know it. */
export interface DrillPlan {
  readonly backup: string
  readonly majorVersion: number
  readonly spec: TablespaceSpec | null
  /** Bytes of the data directory when it was backed up; 0 when nobody knows. */
  readonly dataBytes: number
  readonly timeline: TimelineId
  readonly lastSegment: string
  readonly lastArchivedNs: bigint | undefined
}

/** The restore, an operation of its own, handed in by `cli/` (docs/decisions/restore-composition.md). */
export interface DrillSteps {
  /** Chooses the backup and proves that it leads to the target. */
  plan(): Promise<DrillPlan>
  /** Puts it into `dataDirectory`, with these new places of tablespaces (old to new). */
  restore(dataDirectory: string, tablespaces: ReadonlyMap<string, string>): Promise<void>
  findPrograms(majorVersion: number): Promise<ServerPrograms>
}

export interface DrillOptions {
  /** An empty directory of its own. */
  readonly scratch: string
  readonly isKept: boolean
  readonly target: RecoveryTarget
  readonly timeline: 'latest' | 'current' | TimelineId
  /** Reads settings from within the scratch directory. */
  readonly restoreCommand: string
  /** shared_preload_libraries: what recovery itself needs, a resource manager of its own, say. */
  readonly preloadLibraries: string
  readonly recoveryMsMax: number
  /** For one statement of the checks. */
  readonly statementMsMax: number
  /** Superusers to try, first the likeliest. */
  readonly roles: readonly string[]
  /** Statements of the user's, run in this database; null: none. */
  readonly sql: { readonly text: string; readonly database: string } | null
}
