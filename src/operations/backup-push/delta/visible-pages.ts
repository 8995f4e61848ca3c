import { closeSync } from 'node:fs'
import type { Logger } from '../../../kit/log.ts'
import type { ControlFile } from '../../../postgres/control-file.ts'
import { PAGE_HEADER_BYTES } from '../../../postgres/page-header.ts'
import { firstBlockOf, type RelationFile } from '../../../postgres/relation-file.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { openFile, readInto } from '../part/file-reading.ts'
import type { FilePlan } from './file-plan.ts'

/**
 * Given where VACUUM may have marked pages all-visible without moving their LSN: there were neither data checksums nor `wal_log_hints`,
 * or the server was stopped since, and may have run without them in between.
 * A scan would leave such a page out, while the visibility map is stored whole and says that it is all-visible. PostgreSQL
 * clears the bit of a page that it changes only when the page is marked: an index-only scan of the restored cluster would
 * return rows that are gone.
 */
export interface VisibleMarks {
  readonly sinceLsn: bigint
  readonly pageBytes: number
  readonly blocksPerSegment: number
}

/** A file of a table. */
export interface TableFile {
  readonly relation: RelationFile
  readonly blocks: number
}

const LSN_BYTES = 8
/** The map has two bits for a block. */
const BLOCKS_PER_BYTE = 4

export function visibleMarks({ blockBytes, blocksPerSegment }: ControlFile, sinceLsn: bigint): VisibleMarks {
  return { sinceLsn, pageBytes: blockBytes, blocksPerSegment }
}

/**
 * How the file at `path` is scanned: its visible pages are taken only when its visibility map has gained a bit for one of
 * them since. A page of the map has the LSN of the last bit it gained, whatever the settings are; its file's times would not
 * do, because the map may have been written before the parent was read, and the table after that.
 */
export function scanMethod(
  marks: VisibleMarks | undefined,
  path: string,
  file: TableFile,
): 'scan' | 'scan visible' {
  return marks !== undefined && hasNewBits(marks, mapPath(path, file.relation), file)
    ? 'scan visible'
    : 'scan'
}

function mapPath(path: string, { segment }: RelationFile): string {
  return `${segment === 0 ? path : path.slice(0, -`.${segment}`.length)}_vm`
}

function hasNewBits(marks: VisibleMarks, path: string, { relation, blocks }: TableFile): boolean {
  const { sinceLsn, pageBytes, blocksPerSegment } = marks
  const blocksPerPage = (pageBytes - PAGE_HEADER_BYTES) * BLOCKS_PER_BYTE
  const firstBlock = firstBlockOf(relation, blocksPerSegment)
  const lastPage = Math.floor((firstBlock + blocks - 1) / blocksPerPage)
  // the map has a second file, of a table of nearly 32 TiB: not worth a look
  if (lastPage >= blocksPerSegment) return true
  const fd = openFile(path)
  // no map: no bits
  if (fd === undefined) return false
  try {
    const lsn = new Uint8Array(LSN_BYTES)
    const view = new DataView(lsn.buffer)
    for (let page = Math.floor(firstBlock / blocksPerPage); page <= lastPage; page++) {
      if (readInto({ fd, path, position: page * pageBytes }, lsn, 0, LSN_BYTES) < LSN_BYTES) return false
      if (((BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true))) >= sinceLsn)
        return true
    }
    return false
  } finally {
    closeSync(fd)
  }
}

/** Says once that there are such files, and what makes the delta smaller. */
export function tellVisible(log: Pick<Logger, 'info'>, plan: FilePlan, entries: DataEntries): void {
  let count = 0
  for (let index = 0; index < entries.count; index++) if (plan.method(index) === 'scan visible') count++
  if (count === 0) return
  log.info(
    `Pages that are marked all-visible are taken of ${count} files, whatever their LSN is: VACUUM has marked some, and without ` +
      'data checksums and wal_log_hints, which may have been off while the server was not looked at, it does not move the LSN. A server ' +
      'that has run with either of them since before the parent, WAL summaries or WALG_USE_WAL_DELTA make deltas smaller',
  )
}
