import type { ControlEntry, DataDirectory } from '../../postgres/data-directory.ts'
import type { TablespaceSpec } from '../../repository/tablespace-spec.ts'
import type { TarMember } from '../../tar/pack.ts'
import { FileTableBuilder, type FileTableData } from './file-table.ts'

/** What a backup will hold, decided before the first byte is read. */
export interface Contents {
  /** Regular files. */
  readonly table: FileTableData
  /** Directories, in the order of the walk. */
  readonly headers: readonly TarMember[]
  readonly controlFile: ControlEntry
  readonly filesBytes: number
  /** `DataCatalogSize`. */
  readonly catalogBytes: number
  /** Null when there are no tablespaces. */
  readonly spec: TablespaceSpec | null
  readonly root: string
}

/** They travel in `backup_label.tar`: what lies in the directory is not of this backup, or is taken from there. */
const LABEL_MEMBERS: readonly string[] = ['/backup_label', '/tablespace_map']

/** Lays what the walk has found into the table for the workers; the walk's own columns are not needed afterwards. */
export function planContents(directory: DataDirectory): Contents {
  const { entries } = directory
  const builder = new FileTableBuilder()
  const headers: TarMember[] = []
  for (let index = 0; index < entries.count; index++) {
    const entry = entries.at(index)
    if (entry.kind === 'directory') headers.push({ ...entry, kind: 'directory', name: entry.memberName })
    else if (!LABEL_MEMBERS.includes(entry.memberName)) builder.add(entry)
  }
  return {
    headers,
    controlFile: directory.controlFile,
    filesBytes: builder.totalBytes,
    table: builder.finish(),
    catalogBytes: directory.catalogBytes,
    spec: specOf(directory),
    root: directory.root,
  }
}

function specOf({ root, tablespaces }: DataDirectory): TablespaceSpec | null {
  if (tablespaces.length === 0) return null
  return {
    basePrefix: root,
    tablespaces: tablespaces.map(({ oid, location }) => ({ oid, location, link: `pg_tblspc/${oid}` })),
  }
}
