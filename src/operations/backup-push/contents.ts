import type { DatabaseRows } from '../../postgres/cluster/cluster-facts.ts'
import type { ControlEntry, DataDirectory } from '../../postgres/data-directory.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import type { DataEntries } from '../../postgres/walk/data-entries.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import type { DeltaLink } from '../../repository/sentinel.ts'
import type { TablespaceSpec } from '../../repository/tablespace-spec.ts'
import type { TarMember } from '../../tar/pack.ts'
import type { Arrangement } from './composer.ts'
import type { CopiedFiles } from './copy/copied-files.ts'
import type { FilePlan } from './delta/file-plan.ts'
import { PackedFiles } from './part/packed-files.ts'

/** What a backup is called and what it hangs on. */
export interface BackupIdentity {
  readonly name: BackupName
  /** Null for a full backup. */
  readonly delta: DeltaLink | null
  /** Of a catchup backup: increments hold pages with this LSN or later. */
  readonly catchupFromLsn?: Lsn
  /** Hash of the parent's content manifest, when it has one. */
  readonly parentHash?: string
  /** By the clock of the file system, see `ManifestHeader`. */
  readonly walkedNs: bigint
  /** See `ManifestHeader`. */
  readonly databases?: DatabaseRows | undefined
}

/** What a backup will hold, decided before the first byte is read. */
export interface Contents {
  readonly identity: BackupIdentity
  /** Regular files. */
  readonly files: PackedFiles
  /** Directories, in the order of the walk. */
  readonly headers: readonly TarMember[]
  readonly controlFile: ControlEntry
  /** `DataCatalogSize`. */
  readonly catalogBytes: number
  /** Null when there are no tablespaces. */
  readonly spec: TablespaceSpec | null
  readonly root: string
}

/** They travel in `backup_label.tar`: what lies in the directory is not of this backup, or is taken from there. */
const LABEL_FILES: readonly string[] = ['backup_label', 'tablespace_map']

/** Decides what of the walk's findings becomes what; `isFile` tells which entries are packed as files. */
export function planContents(
  directory: DataDirectory,
  isFile: (index: number) => boolean,
  identity: BackupIdentity,
  plan: FilePlan | undefined,
  arrangement?: Arrangement,
  copied?: CopiedFiles,
): Contents {
  const { entries } = directory
  const headers: TarMember[] = []
  for (let index = 0; index < entries.count; index++) {
    if (!entries.isDirectory(index)) continue
    const entry = entries.at(index)
    headers.push({ ...entry, kind: 'directory', name: entry.memberName })
  }
  return {
    identity,
    headers,
    controlFile: directory.controlFile,
    files: new PackedFiles(entries, isFile, plan, arrangement, copied),
    catalogBytes: directory.catalogBytes,
    spec: specOf(directory),
    root: directory.root,
  }
}

/** True for an entry that is packed as a file. */
export function isContent(entries: DataEntries, index: number): boolean {
  if (entries.isDirectory(index)) return false
  const isAtTop = entries.places[entries.placeOf(index)]?.member === ''
  return !isAtTop || !LABEL_FILES.includes(entries.baseName(index))
}

function specOf({ root, tablespaces }: DataDirectory): TablespaceSpec | null {
  if (tablespaces.length === 0) return null
  return {
    basePrefix: root,
    tablespaces: tablespaces.map(({ oid, location }) => ({ oid, location, link: `pg_tblspc/${oid}` })),
  }
}
