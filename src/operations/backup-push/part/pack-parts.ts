import type { RateLimit } from '../../../kit/limits.ts'
import type { LinearMemory } from '../../../kit/linear-memory.ts'
import type { BackupName } from '../../../repository/backup-name.ts'
import { partKey, partName } from '../../../repository/layout.ts'
import type { TarMember } from '../../../tar/pack.ts'
import { FileBatch, type FileBatchData } from './file-batch.ts'
import { PageCheck, type PageCheckOptions } from './page-check.ts'
import { type OpenPart, openPart, type PartPlace, type StoredPart } from './part.ts'
import { PartControl, type PartControlData } from './part-control.ts'
import { packedBytes } from './part-packer.ts'

/** What all workers of one push work on; plain data. */
export interface PartsTask {
  readonly backup: BackupName
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
  | { readonly kind: 'damage'; readonly turn: number; readonly blocks: readonly number[] }
  /** A relation's file that is not made of whole pages was packed without a look at its pages. */
  | { readonly kind: 'odd size'; readonly turn: number }

export interface PackRoom extends Pick<PartPlace, 'storage' | 'codec'> {
  readonly memory: LinearMemory
  readonly worker: number
  readonly report: (report: PackReport) => void
  /** Gives a finished batch back and waits for another; undefined when no file is left. */
  readonly nextBatch: (finished: FileBatchData | undefined) => Promise<FileBatchData | undefined>
}

/**
 * The loop of one worker: takes the next files that nobody has taken, packs them into its own part, closes the part
 * before it would grow too large, until no file is left. What becomes of each file goes into its batch. A failure
 * leaves no object of the part that was open.
 */
export async function packParts(room: PackRoom, task: PartsTask): Promise<void> {
  const control = new PartControl(task.control)
  const queue = new FileQueue(room)
  const place: PartPlace = {
    ...room,
    ...(task.diskLimit === undefined ? {} : { diskLimit: task.diskLimit }),
    onRead: bytes => control.beat(room.worker, queue.turn, bytes),
  }
  const pages = task.pages === undefined ? undefined : new PageCheck(task.pages, room.memory)
  let hasFile = await queue.advance()
  // Without any file somebody still has to pack the directories.
  while (hasFile || control.partsCount === 0) {
    const number = control.takePartNumber()
    if (!hasFile && number > 1) return
    const name = partName(number, room.codec.extension)
    room.report({ kind: 'part begun', number })
    const part = await openPart(place, partKey(task.backup, name))
    try {
      if (number === 1) for (const member of task.headers) await part.packer.packHeader(member)
      while (hasFile) {
        control.beat(room.worker, queue.turn, 0)
        await packNext(part, queue, number, pages, room.report)
        hasFile = queue.advanceInBatch() || (await queue.advance())
        if (hasFile && part.packer.tarBytes + packedBytes(queue.sizeBytes) > task.partBytesMax) break
      }
      room.report({ kind: 'part done', part: { number, ...(await part.end()) } })
    } catch (error) {
      await part.abort()
      throw error
    }
  }
}

/** The file that is packed next, out of one batch after the other. */
class FileQueue {
  readonly #nextBatch: PackRoom['nextBatch']
  batch: FileBatch | undefined
  row = 0

  constructor(room: Pick<PackRoom, 'nextBatch'>) {
    this.#nextBatch = room.nextBatch
  }

  /** Its number in the order of handing out. */
  get turn(): number {
    return this.batch === undefined ? -1 : this.batch.data.firstTurn + this.row
  }

  get sizeBytes(): number {
    return this.batch!.sizeBytes(this.row)
  }

  /** To the next file of the batch, without waiting; false at its end. */
  advanceInBatch(): boolean {
    if (this.batch === undefined || this.row + 1 >= this.batch.count) return false
    this.row += 1
    return true
  }

  /** To the first file of the next batch; false when there is none. */
  async advance(): Promise<boolean> {
    const data = await this.#nextBatch(this.batch?.data)
    this.batch = data === undefined ? undefined : new FileBatch(data)
    this.row = 0
    return data !== undefined
  }
}

async function packNext(
  part: OpenPart,
  queue: FileQueue,
  number: number,
  pages: PageCheck | undefined,
  report: PackRoom['report'],
): Promise<void> {
  const { batch, row, turn } = queue
  const file = batch!.file(row)
  const observer = pages?.open(file) ?? 'none'
  if (observer === 'odd') report({ kind: 'odd size', turn })
  const isObserved = observer !== 'odd' && observer !== 'none'
  const hash = await part.packer.packFile(file, isObserved ? observer : undefined)
  if (hash === undefined) {
    batch!.setVanished(row)
    return
  }
  batch!.setPacked(row, number, hash)
  if (!isObserved) return
  const { blocks } = observer.end()
  if (blocks.length > 0) report({ kind: 'damage', turn, blocks })
}
