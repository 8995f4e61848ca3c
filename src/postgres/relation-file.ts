/** The forks of a relation; `main` has no suffix. */
export type Fork = 'main' | 'fsm' | 'vm' | 'init'

export interface RelationFile {
  /** Tablespace: 1663 for `base/`, 1664 for `global/`, else the tablespace's oid. */
  readonly tablespaceOid: number
  /** 0 for shared relations in `global/`. */
  readonly databaseOid: number
  readonly relfilenode: number
  readonly fork: Fork
  /** Which 1 GiB piece of the fork. */
  readonly segment: number
  /** A temporary relation (`t3_16400`). */
  readonly isTemporary: boolean
}

const FILE = /^(?:t\d+_)?(\d{1,10})(?:_(fsm|vm|init))?(?:\.(\d{1,7}))?$/
const PLACE = /^\/?(?:(global)|base\/(\d+)|pg_tblspc\/(\d+)\/PG_[^/]+\/(\d+))\/([^/]+)$/

/**
 * Which relation a member name (`/base/5/16384_vm.1`, `/pg_tblspc/16400/PG_15_202209061/5/16401`) holds, or
 * undefined when it is not a relation's file (PG_VERSION, pg_filenode.map, …).
 */
export function parseRelationFile(memberName: string): RelationFile | undefined {
  const place = PLACE.exec(memberName)
  if (place === null) return undefined
  const file = FILE.exec(place[5]!)
  if (file === null || file[1]!.startsWith('0')) return undefined
  const isGlobal = place[1] !== undefined
  return {
    tablespaceOid: isGlobal ? 1664 : place[2] !== undefined ? 1663 : Number(place[3]),
    databaseOid: isGlobal ? 0 : Number(place[2] ?? place[4]),
    relfilenode: Number(file[1]),
    fork: (file[2] as Fork | undefined) ?? 'main',
    segment: file[3] === undefined ? 0 : Number(file[3]),
    isTemporary: place[5]!.startsWith('t'),
  }
}

/**
 * True for a file that an increment may be made of: the main fork of a permanent relation below `base/` or
 * `pg_tblspc/`, not empty, whole pages. Stricter than the original's test (storage-format 3.2), which looks for
 * the letters `base` anywhere in the absolute path; whatever passes here passes there.
 */
export function isPagedFile(memberName: string, sizeBytes: number, pageBytes: number): boolean {
  if (sizeBytes <= 0 || sizeBytes % pageBytes !== 0) return false
  const file = parseRelationFile(memberName)
  return file !== undefined && file.databaseOid !== 0 && file.fork === 'main' && !file.isTemporary
}

/** Number of the first page of a file within its fork: checksums are seeded with the number within the fork. */
export function firstBlockOf(file: RelationFile, blocksPerSegment: number): number {
  return file.segment * blocksPerSegment
}
