import { closeSync } from 'node:fs'
import type { Awaitable } from '../../../kit/bytes.ts'
import { isPagedFile } from '../../../postgres/relation-file.ts'
import type { BatchFile, FileBatch, FileOrder } from './file-batch.ts'
import { openFile } from './file-reading.ts'
import type { PackRoom, PartsTask } from './pack-task.ts'
import { PageCheck, type PageObserver } from './page-check.ts'
import { PageScan } from './page-scan.ts'
import type { PartControl } from './part-control.ts'
import type { FileObserver } from './part-packer.ts'
import type { FileQueue, NumberedOpenPart, WorkerParts } from './worker-parts.ts'
import { ZeroPages } from './zero-pages.ts'

/** Packs one file after the other, each in the way the plan says: whole, or the pages that have changed. */
export class FilePacker {
  readonly #queue: FileQueue
  readonly #report: PackRoom['report']
  readonly #pageBytes: number
  readonly #check: PageCheck | undefined
  readonly #scan: PageScan | undefined
  readonly #zeroPages: ZeroPages

  constructor(room: PackRoom, task: PartsTask, control: PartControl, queue: FileQueue) {
    this.#queue = queue
    this.#report = room.report
    this.#pageBytes = task.pageBytes
    this.#zeroPages = new ZeroPages(task.pageBytes)
    this.#check = task.pages === undefined ? undefined : new PageCheck(task.pages, room.memory)
    const { diskLimit } = task
    this.#scan =
      task.scan === undefined
        ? undefined
        : new PageScan(task.scan, {
            memory: room.memory,
            ...(diskLimit === undefined ? {} : { diskLimit }),
            onRead: bytes => control.beat(room.worker, queue.turn, bytes),
          })
  }

  /** Packs the file that the queue stands at; at once when it is small. */
  packNext(parts: WorkerParts): Awaitable<void> {
    const batch = this.#queue.batch!
    const { row } = this.#queue
    const order = batch.order(row)
    const file = batch.file(row)
    if (order.method !== 'whole') return this.#packChanged(parts, batch, file, order)
    const open = parts.forMember(file.sizeBytes, batch.data)
    if (!(open instanceof Promise)) return this.#packWhole(open, batch, file)
    return open.then(begun => this.#packWhole(begun, batch, file))
  }

  async #packChanged(parts: WorkerParts, batch: FileBatch, file: BatchFile, order: FileOrder): Promise<void> {
    const { row, turn } = this.#queue
    const fd = openFile(file.path)
    if (fd === undefined) return batch.setVanished(row)
    try {
      const check = this.#openCheck(file)
      const { blocks, whole, usedBlocks, zeroes } = await this.#scan!.find(file, fd, order, check)
      if (whole !== undefined) {
        this.#report({ kind: 'whole', turn, reason: whole })
        return await this.#packWhole(await parts.forMember(file.sizeBytes, batch.data), batch, file)
      }
      const isSameSize = order.parent?.blocks === file.sizeBytes / this.#pageBytes
      if (blocks.length === 0 && isSameSize) batch.setUnchanged(row)
      else {
        const { number, part } = await parts.forMember(blocks.length * this.#pageBytes, batch.data)
        const hash = await part.packer.packIncrement(file, fd, blocks, this.#pageBytes)
        batch.setIncremented(row, number, hash, blocks.length)
      }
      batch.setUsedBlocks(row, usedBlocks)
      batch.setZeroes(row, zeroes)
      this.#endCheck(check)
    } finally {
      closeSync(fd)
    }
  }

  #packWhole({ number, part }: NumberedOpenPart, batch: FileBatch, file: BatchFile): Awaitable<void> {
    const { row } = this.#queue
    const check = this.#openCheck(file)
    const isPaged = isPagedFile(file.memberName, file.sizeBytes, this.#pageBytes)
    if (isPaged) this.#zeroPages.begin()
    const record = (hash: string | undefined): void => {
      if (hash === undefined) {
        batch.setVanished(row)
        return
      }
      batch.setPacked(row, number, hash)
      if (isPaged) {
        batch.setUsedBlocks(row, this.#zeroPages.usedBlocks)
        batch.setZeroes(row, this.#zeroPages.runs)
      }
      this.#endCheck(check)
    }
    const packed = part.packer.packFile(file, observerOf(check, isPaged ? this.#zeroPages : undefined))
    return packed instanceof Promise ? packed.then(record) : record(packed)
  }

  #openCheck(file: BatchFile): PageObserver | undefined {
    const check = this.#check?.open(file) ?? 'none'
    if (check === 'odd') this.#report({ kind: 'odd size', turn: this.#queue.turn })
    return check === 'odd' || check === 'none' ? undefined : check
  }

  #endCheck(check: PageObserver | undefined): void {
    if (check === undefined) return
    const { turn } = this.#queue
    const { blocks, late } = check.end()
    if (blocks.length > 0) this.#report({ kind: 'damage', turn, blocks })
    if (late.length > 0) this.#report({ kind: 'late', turn, pages: late })
  }
}

function observerOf(
  check: PageObserver | undefined,
  zeroPages: ZeroPages | undefined,
): FileObserver | undefined {
  if (check === undefined || zeroPages === undefined) return check ?? zeroPages
  return {
    observe(bytes: Uint8Array): void {
      check.observe(bytes)
      zeroPages.observe(bytes)
    },
  }
}
