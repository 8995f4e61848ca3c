import type { CompressionOptions } from '../../../codec/codec.ts'
import type { WholeReason } from '../../../delta/page-selection.ts'
import type { Awaitable } from '../../../kit/bytes.ts'
import type { RateLimit } from '../../../kit/limits.ts'
import type { LinearMemory } from '../../../kit/linear-memory.ts'
import { broadcastNotice, onNotice } from '../../../kit/log.ts'
import { isWorkerThread } from '../../../kit/thread.ts'
import type { BackupName } from '../../../repository/backup-name.ts'
import { partKey, partName } from '../../../repository/layout.ts'
import type { TarMember } from '../../../tar/pack.ts'
import { FileBatch, type FileBatchData } from './file-batch.ts'
import { FilePacker } from './file-packer.ts'
import type { PageCheckOptions } from './page-check.ts'
import type { ScanOptions } from './page-scan.ts'
import { type OpenPart, openPart, type PartPlace, type StoredPart } from './part.ts'
import { PartControl, type PartControlData } from './part-control.ts'
import { packedBytes } from './part-packer.ts'

/** What all workers of one push work on; plain data. */
export interface PartsTask {
  readonly backup: BackupName
  readonly control: PartControlData
  /** Members without content, in the order of the walk; they go into part 1. */
  readonly headers: readonly TarMember[]
  /** Part 1 holds nothing else, so that every other part can be copied by a later backup. */
  readonly separatesHeaders?: boolean
  /** A part is closed when the next file would make its tar larger than this. */
  readonly partBytesMax: number
  readonly use: CompressionOptions['use']
  readonly diskLimit?: RateLimit
  readonly pageBytes: number
  /** Absent: page checksums are not verified. */
  readonly pages?: PageCheckOptions
  /** Absent: every file is packed whole. */
  readonly scan?: ScanOptions
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
  /** The parent has the file, but it was packed whole. */
  | { readonly kind: 'whole'; readonly turn: number; readonly reason: WholeReason }

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
  const parts = new WorkerParts(room, task, control, queue)
  const packer = new FilePacker(room, task, control, queue)
  if (isWorkerThread()) {
    // A storage that tries again says so: that is a sign of life, and where it learns that it shall stop.
    onNotice((text, level) => {
      broadcastNotice(text, level)
      control.beat(room.worker, queue.turn, 0)
    })
  }
  try {
    for (let hasFile = await queue.advance(); hasFile; ) {
      control.beat(room.worker, queue.turn, 0)
      const packed = packer.packNext(parts)
      if (packed !== undefined) await packed
      hasFile = queue.advanceInBatch() || (await queue.advance())
    }
    await parts.finish()
  } catch (error) {
    await parts.abort()
    throw error
  }
}

export interface NumberedOpenPart {
  readonly number: number
  readonly part: OpenPart
}

/** The part that a worker has open, if any: one is opened when there is something for it. */
export class WorkerParts {
  readonly #room: PackRoom
  readonly #task: PartsTask
  readonly #control: PartControl
  readonly #place: PartPlace
  #open: NumberedOpenPart | undefined
  #group = 0

  constructor(room: PackRoom, task: PartsTask, control: PartControl, queue: { readonly turn: number }) {
    this.#room = room
    this.#task = task
    this.#control = control
    this.#place = {
      ...room,
      ...(task.diskLimit === undefined ? {} : { diskLimit: task.diskLimit }),
      onRead: bytes => control.beat(room.worker, queue.turn, bytes),
    }
  }

  /** The part that a member of `sizeBytes` goes into; at once while it goes on. */
  forMember(sizeBytes: number, group: number): Awaitable<NumberedOpenPart> {
    const open = this.#open
    const isOther = group !== this.#group
    this.#group = group
    if (open === undefined) return this.#beginForMember()
    const { tarBytes } = open.part.packer
    if (tarBytes === 0 || (!isOther && tarBytes + packedBytes(sizeBytes) <= this.#task.partBytesMax))
      return open
    return this.#close().then(() => this.#begin(this.#control.takePartNumber()))
  }

  /** Closes what is open. Without any file somebody still has to pack the directories. */
  async finish(): Promise<void> {
    if (this.#open === undefined && this.#control.partsCount === 0) {
      const number = this.#control.takePartNumber()
      if (number === 1) await this.#begin(number)
    }
    await this.#close()
  }

  async abort(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.part.abort()
  }

  async #beginForMember(): Promise<NumberedOpenPart> {
    const begun = await this.#begin(this.#control.takePartNumber())
    if (begun.number !== 1 || this.#task.separatesHeaders !== true) return begun
    await this.#close()
    return this.#begin(this.#control.takePartNumber())
  }

  async #begin(number: number): Promise<NumberedOpenPart> {
    const name = partName(number, this.#room.codec.extension)
    this.#room.report({ kind: 'part begun', number })
    const part = await openPart(this.#place, partKey(this.#task.backup, name), this.#task.use)
    this.#open = { number, part }
    if (number === 1) for (const member of this.#task.headers) await part.packer.packHeader(member)
    return this.#open
  }

  async #close(): Promise<void> {
    const open = this.#open
    if (open === undefined) return
    const stored = await open.part.end()
    this.#open = undefined
    this.#room.report({ kind: 'part done', part: { number: open.number, ...stored } })
  }
}

/** The file that is packed next, out of one batch after the other. */
export class FileQueue {
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
