import type { BackupSelection } from '../../repository/selector.ts'
import type { TablespaceMapping, TablespaceSpec } from '../../repository/tablespace-spec.ts'
import type { OpenedStorage } from '../../storage/failover/find-alive.ts'
import type { ManifestChecksums, SystemModuleDescription } from './part/part-protocol.ts'

export interface BackupFetchOptions {
  /** Further storages in which the backup may be; the first is that of the context. */
  readonly otherStorages?: readonly OpenedStorage[]
  /** Where to; need not exist. */
  readonly destination: string
  readonly selection: BackupSelection
  /** Go's filepath.Match, without its leading slash; '' = everything. */
  readonly mask: string
  /** Databases and tables, as `--restore-only` names them; empty = everything. */
  readonly restoreOnly: readonly string[]
  /** Tablespaces elsewhere than they were. */
  readonly restoreSpec: TablespaceSpec | null
  /** Tablespaces that go elsewhere than they were, one by one. */
  readonly tablespaceMapping?: readonly TablespaceMapping[]
  /**
   * Called with the directory when everything is in place but pg_control, without which nothing starts; what it writes
   * durably is part of the restore. A resumed fetch calls it again.
   */
  readonly beforeControlFile?: (root: string) => Promise<void>
  /**
   * Over a data directory of the same cluster, whose server does not run: files that the content manifest proves to be
   * the same stay as they are, what the backup does not have goes, but for pg_wal.
   */
  readonly isIntoExisting?: boolean
  /**
   * A catchup backup over a standby's directory, with `isIntoExisting`: increments are applied to the files that are there, and
   * only relations that the backup proves gone are removed.
   */
  readonly isCatchup?: boolean
  /** Goes on with an interrupted fetch. */
  readonly isResume: boolean
  /** Parts that are read at a time, at most; never more than there are CPUs. */
  readonly concurrencyMax: number
  /** Further tries for an object that cannot be read. */
  readonly retriesMax: number
  /** false: nothing is flushed to disk. */
  readonly isDurable: boolean
  readonly checksums: ManifestChecksums
  readonly pageBytes: number
  /** Restores although the content manifest is missing or damaged. */
  readonly ignoresContentManifest: boolean
  /** For tests: see `FetchSetup`. */
  readonly systemModule?: SystemModuleDescription
}
