import type { BlockCrew } from '../../../codec/block-crew.ts'
import type { Awaitable } from '../../../kit/bytes.ts'
import { collectGarbageEvery } from '../../../kit/thread.ts'
import { partKey, partName } from '../../../repository/layout.ts'
import { FileBatch, type FileBatchData } from './file-batch.ts'
import type { PackRoom, PartsTask } from './pack-task.ts'
import { type OpenPart, openPart, type PartPlace } from './part.ts'
import type { PartControl } from './part-control.ts'
import { packedBytes } from './part-packer.ts'

/** Each leaves one or two kilobytes behind. */
const FILES_PER_COLLECTION = 500

/** What a part holds at least, and what there must be left, before it ends early. */
const EVEN_PART_BYTES_MIN = 64 << 20
const LEFT_BYTES_MIN = 32 << 20

export interface NumberedOpenPart {
  readonly number: number
  readonly part: OpenPart
  /** It was begun with threads of its own. */
  readonly isShared: boolean
}

/** The part that a worker has open, if any: one is opened when there is something for it. */
export class WorkerParts {
  readonly #room: PackRoom
  readonly #task: PartsTask
  readonly #control: PartControl
  readonly #place: PartPlace
  #open: NumberedOpenPart | undefined
  #group = 0

  constructor(
    room: PackRoom,
    task: PartsTask,
    control: PartControl,
    queue: { readonly turn: number },
    crew?: BlockCrew,
  ) {
    this.#room = room
    this.#task = task
    this.#control = control
    this.#place = {
      ...room,
      ...(task.diskLimit === undefined ? {} : { diskLimit: task.diskLimit }),
      onRead: bytes => control.beat(room.worker, queue.turn, bytes),
      ...(crew === undefined ? {} : { help: { crew } }),
    }
  }

  /** The part that a member of `sizeBytes` from `batch` goes into; at once while it goes on. */
  forMember(sizeBytes: number, { group, isLast, leftBytes }: FileBatchData): Awaitable<NumberedOpenPart> {
    const open = this.#open
    const isOther = group !== this.#group
    this.#group = group
    const isShared = isLast && this.#room.codec.compression.sharing === 'threads'
    if (open === undefined) return this.#beginForMember(isShared)
    const { tarBytes } = open.part.packer
    const hasRoom =
      tarBytes + packedBytes(sizeBytes) <= this.#task.partBytesMax && !isUneven(tarBytes, leftBytes)
    const isRight = !isOther && hasRoom && (open.isShared || !isShared)
    if (isRight || (tarBytes === 0 && open.isShared === isShared)) return open
    return this.#close().then(() => this.#begin(this.#control.takePartNumber(), isShared))
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

  async #beginForMember(isShared: boolean): Promise<NumberedOpenPart> {
    const begun = await this.#begin(this.#control.takePartNumber(), isShared)
    if (begun.number !== 1 || this.#task.separatesHeaders !== true) return begun
    await this.#close()
    return this.#begin(this.#control.takePartNumber(), isShared)
  }

  async #begin(number: number, isShared = false): Promise<NumberedOpenPart> {
    const name = partName(number, this.#room.codec.extension)
    this.#room.report({ kind: 'part begun', number })
    const place = isShared ? { ...this.#place, help: { threadsCount: this.#task.workersCount } } : this.#place
    const part = await openPart(place, partKey(this.#task.backup, name), this.#task.use)
    this.#open = { number, part, isShared }
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

/** It holds more than all that is left: a restore, with a thread for each part, would wait for it alone. */
function isUneven(tarBytes: number, leftBytes: number): boolean {
  return tarBytes >= EVEN_PART_BYTES_MIN && leftBytes >= LEFT_BYTES_MIN && tarBytes >= leftBytes
}

/** The file that is packed next, out of one batch after the other. */
export class FileQueue {
  readonly #nextBatch: PackRoom['nextBatch']
  readonly #collectGarbage = collectGarbageEvery(FILES_PER_COLLECTION)
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
    const finished = this.batch
    this.#collectGarbage(finished?.count ?? 0)
    const data = await this.#nextBatch(finished?.data)
    this.batch = data === undefined ? undefined : new FileBatch(data)
    this.row = 0
    return data !== undefined
  }
}
