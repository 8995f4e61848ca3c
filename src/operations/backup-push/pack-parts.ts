import type { RateLimit } from '../../kit/limits.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import { partKey, partName } from '../../repository/layout.ts'
import type { TarMember } from '../../tar/pack.ts'
import { FileTable, type FileTableData, type TableFile } from './file-table.ts'
import { PageCheck, type PageCheckOptions } from './page-check.ts'
import { type OpenPart, openPart, type PartPlace, type StoredPart } from './part.ts'
import { PartControl, type PartControlData } from './part-control.ts'
import { packedBytes } from './part-packer.ts'

/** What all workers of one push work on; plain data. */
export interface PartsTask {
  readonly backup: BackupName
  readonly table: FileTableData
  readonly control: PartControlData
  /** Members without content, in the order of the walk; they go into part 1. */
  readonly headers: readonly TarMember[]
  /** A part is closed when the next file would make its tar larger than this. */
  readonly partBytesMax: number
  readonly diskLimit?: RateLimit
  /** Absent: page checksums are not verified. */
  readonly pages?: PageCheckOptions
}

export interface NumberedPart extends StoredPart {
  readonly number: number
}

/** What a worker tells while it packs. */
export type PackReport =
  | { readonly kind: 'part begun'; readonly number: number }
  | { readonly kind: 'part done'; readonly part: NumberedPart }
  /** Damaged pages of a file, by number from its beginning, ascending. */
  | { readonly kind: 'damage'; readonly row: number; readonly blocks: readonly number[] }
  /** A relation's file that is not made of whole pages was packed without a look at its pages. */
  | { readonly kind: 'odd size'; readonly row: number }

export interface PackRoom extends Pick<PartPlace, 'storage' | 'codec'> {
  readonly memory: LinearMemory
  readonly worker: number
  readonly report: (report: PackReport) => void
}

/**
 * The loop of one worker: takes the next file that nobody has taken, packs it into its own part, closes the part
 * before it would grow too large, until no file is left. Everything it learns about files goes into the table.
 * A failure leaves no object of the part that was open.
 */
export async function packParts(room: PackRoom, task: PartsTask): Promise<void> {
  const table = new FileTable(task.table)
  const control = new PartControl(task.control)
  let row = -1
  const place: PartPlace = {
    ...room,
    ...(task.diskLimit === undefined ? {} : { diskLimit: task.diskLimit }),
    onRead: bytes => control.beat(room.worker, row, bytes),
  }
  const pages = task.pages === undefined ? undefined : new PageCheck(task.pages, room.memory)
  const take = (): number => {
    const turn = control.takeTurn()
    row = turn < table.count ? table.rowOfTurn(turn) : -1
    return row
  }
  take()
  // Without any file somebody still has to pack the directories.
  while (row >= 0 || control.partsCount === 0) {
    const number = control.takePartNumber()
    if (row < 0 && number > 1) return
    const name = partName(number, room.codec.extension)
    room.report({ kind: 'part begun', number })
    const part = await openPart(place, partKey(task.backup, name))
    try {
      if (number === 1) for (const member of task.headers) await part.packer.packHeader(member)
      while (row >= 0) {
        control.beat(room.worker, row, 0)
        await packRow(part, table, row, number, pages, room.report)
        if (take() < 0) break
        if (part.packer.tarBytes + packedBytes(table.sizeBytes(row)) > task.partBytesMax) break
      }
      room.report({ kind: 'part done', part: { number, ...(await part.end()) } })
    } catch (error) {
      await part.abort()
      throw error
    }
  }
}

async function packRow(
  part: OpenPart,
  table: FileTable,
  row: number,
  number: number,
  pages: PageCheck | undefined,
  report: PackRoom['report'],
): Promise<void> {
  const file: TableFile = table.file(row)
  const observer = pages?.open(file) ?? 'none'
  if (observer === 'odd') report({ kind: 'odd size', row })
  const isObserved = observer !== 'odd' && observer !== 'none'
  const hash = await part.packer.packFile(file, isObserved ? observer : undefined)
  if (hash === undefined) {
    table.setVanished(row)
    return
  }
  table.setPacked(row, number, hash)
  if (!isObserved) return
  const { blocks } = observer.end()
  if (blocks.length > 0) report({ kind: 'damage', row, blocks })
}
