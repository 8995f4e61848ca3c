import type { ParentFile } from '../../../delta/page-selection.ts'
import type { ZeroRuns } from '../../../delta/zero-runs.ts'
import type { CorruptBlocks } from '../../../repository/files-metadata.ts'
import type { FileOrder, PackMethod } from '../part/file-batch.ts'

const METHODS: readonly (PackMethod | 'skip')[] = ['whole', 'scan', 'scan visible', 'blocks', 'skip']

/** How each file of a delta is packed, by entry, in columns of about 10 bytes for a file. */
export class FilePlan {
  readonly #methods: Uint8Array
  /** Of the parent's file, plus 1; 0: not known. */
  readonly #parentBlocks: Uint32Array
  readonly #parentUsed: Uint32Array
  readonly #blocks = new Map<number, Uint32Array>()
  readonly #parentZeroes = new Map<number, ZeroRuns>()
  readonly #parentDamage = new Map<number, CorruptBlocks>()

  constructor(entriesCount: number) {
    this.#methods = new Uint8Array(entriesCount)
    this.#parentBlocks = new Uint32Array(entriesCount)
    this.#parentUsed = new Uint32Array(entriesCount)
  }

  /** `skip`: the parent's file is taken as it is. */
  set(index: number, method: PackMethod | 'skip', parent: ParentFile | undefined): void {
    this.#methods[index] = METHODS.indexOf(method)
    if (parent === undefined) return
    this.#parentBlocks[index] = parent.blocks + 1
    this.#parentUsed[index] = parent.usedBlocks
    if (parent.zeroes !== undefined) this.#parentZeroes.set(index, parent.zeroes)
  }

  setBlocks(index: number, blocks: Uint32Array, parent: ParentFile | undefined): void {
    this.set(index, 'blocks', parent)
    this.#blocks.set(index, blocks)
  }

  /** Damaged pages that the parent has seen in the file. */
  setDamage(index: number, blocks: CorruptBlocks): void {
    this.#parentDamage.set(index, blocks)
  }

  damage(index: number): CorruptBlocks | undefined {
    return this.#parentDamage.get(index)
  }

  method(index: number): PackMethod | 'skip' {
    return METHODS[this.#methods[index]!]!
  }

  isSkipped(index: number): boolean {
    return this.method(index) === 'skip'
  }

  parent(index: number): ParentFile | undefined {
    const blocks = this.#parentBlocks[index]!
    if (blocks === 0) return undefined
    const usedBlocks = this.#parentUsed[index]!
    return { blocks: blocks - 1, usedBlocks, zeroes: this.#parentZeroes.get(index) }
  }

  blocks(index: number): Uint32Array | undefined {
    return this.#blocks.get(index)
  }

  /** Undefined for a file that is packed whole. */
  order(index: number): FileOrder | undefined {
    const method = this.method(index)
    if (method === 'whole' || method === 'skip') return undefined
    return { method, parent: this.parent(index), blocks: this.blocks(index) }
  }
}
