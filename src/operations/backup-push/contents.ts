import type { ControlEntry, DataDirectory } from '../../postgres/data-directory.ts'
import type { TablespaceSpec } from '../../repository/tablespace-spec.ts'
import type { TarMember } from '../../tar/pack.ts'
import { PackedFiles } from './part/packed-files.ts'

/** What a backup will hold, decided before the first byte is read. */
export interface Contents {
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

/** Decides what of the walk's findings becomes what. */
export function planContents(directory: DataDirectory): Contents {
  const { entries } = directory
  const headers: TarMember[] = []
  for (let index = 0; index < entries.count; index++) {
    if (!entries.isDirectory(index)) continue
    const entry = entries.at(index)
    headers.push({ ...entry, kind: 'directory', name: entry.memberName })
  }
  const isLabel = (index: number): boolean =>
    entries.places[entries.placeOf(index)]?.member === '' && LABEL_FILES.includes(entries.baseName(index))
  return {
    headers,
    controlFile: directory.controlFile,
    files: new PackedFiles(entries, index => !entries.isDirectory(index) && !isLabel(index)),
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
