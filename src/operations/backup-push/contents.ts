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
const LABEL_FILES: readonly string[] = ['backup_label', 'tablespace_map']

/** Lays what the walk has found into the table for the workers; the walk's own columns are not needed afterwards. */
export function planContents(directory: DataDirectory): Contents {
  const { entries } = directory
  const builder = new FileTableBuilder()
  const headers: TarMember[] = []
  for (let index = 0; index < entries.count; index++) {
    if (entries.isDirectory(index)) {
      const entry = entries.at(index)
      headers.push({ ...entry, kind: 'directory', name: entry.memberName })
      continue
    }
    const place = entries.placeOf(index)
    const baseName = entries.baseName(index)
    if (entries.places[place]?.member === '' && LABEL_FILES.includes(baseName)) continue
    builder.add(place, baseName, {
      sizeBytes: entries.sizeBytes(index),
      mode: entries.mode(index),
      uid: entries.uid(index),
      gid: entries.gid(index),
      mtimeNs: entries.mtimeNs(index),
    })
  }
  return {
    headers,
    controlFile: directory.controlFile,
    filesBytes: builder.totalBytes,
    table: builder.finish(entries.places),
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
