import { readSync } from 'node:fs'
import { fromSystemError } from '../kit/errors.ts'
import { createLinearMemory, type LinearMemory, openModule } from '../kit/linear-memory.ts'
import { type Lsn, toLsn } from './lsn.ts'
import modulePath from './page.wasm' with { type: 'file' }
import { CHECKSUM_SEEDS, hasUpper, PAGE_BYTES_DEFAULT, readPageLsn } from './page-header.ts'
import scalarModulePath from './page-scalar.wasm' with { type: 'file' }

export interface PageVerifierOptions {
  /** Memory that holds the pages (see `verify`); without it the verifier has its own and copies into it. */
  readonly memory?: LinearMemory
  /** Default 8192. */
  readonly pageBytes?: number
  /** Pages with an LSN from this one on are not judged: WAL replay rewrites them after a restore. Absent: every page is judged. */
  readonly startLsn?: Lsn
  /** Where that WAL ends: what claims to be newer was written by no server. Absent: not known. */
  readonly endLsn?: Lsn
}

/** A page whose checksum does not match. */
export interface SuspectPage {
  /** Its number within the fork. */
  readonly block: number
  /** Undefined for a page without an upper bound that is not zero: it is damaged whenever it was written. */
  readonly lsn: Lsn | undefined
}

/** Checks data page checksums in place. One per thread. */
export interface PageVerifier {
  readonly pageBytes: number
  /**
   * Checks the whole pages in `bytes` (a trailing partial page is ignored; no copy when they lie in the linear
   * memory); `firstBlock` is the number, within the fork, of the first. Returns the numbers of pages that look
   * damaged: a suspicion only while a server is writing, see `confirm`.
   */
  verify(bytes: Uint8Array, firstBlock: number): number[]
  /**
   * Reads each suspect page again from the file and keeps those that are still damaged: a page that the
   * server was just writing reads whole the second time. `fileFirstBlock` is the number of the file's first page
   * within the fork. A page that is gone (the file was truncated) is no damage. `path` is for messages.
   */
  confirm(fd: number, suspects: readonly number[], fileFirstBlock: number, path?: string): SuspectPage[]
}

interface PageExports {
  verify(
    page: number,
    pageBytes: number,
    from: number,
    count: number,
    firstBlock: number,
    startLsn: bigint,
    endLsn: bigint,
    seeds: number,
    lanes: number,
  ): number
}

const LSN_MAX = toLsn((1n << 64n) - 1n)
/** A window that holds no LSN at all. */
const NO_WINDOW = { startLsn: LSN_MAX, endLsn: toLsn(0n) }
const SEED_BYTES = 128
const STAGE_BYTES = 65_536

/** Opens a verifier; its module is compiled once per thread. */
export function openPageVerifier(options: PageVerifierOptions = {}): PageVerifier {
  const pageBytes = options.pageBytes ?? PAGE_BYTES_DEFAULT
  const memory = options.memory ?? createLinearMemory()
  const exports = openModule<PageExports>(memory, modulePath, scalarModulePath)
  const seeds = memory.allocate(SEED_BYTES)
  const lanes = memory.allocate(SEED_BYTES)
  memory.bytes.set(new Uint8Array(CHECKSUM_SEEDS.buffer), seeds)
  const { startLsn, endLsn } = windowOf(options)
  const stageBytes = Math.max(STAGE_BYTES, pageBytes)
  let stage: number | undefined

  const scan = (address: number, count: number, firstBlock: number, found: number[]): void => {
    for (let from = 0; ; from++) {
      from = exports.verify(address, pageBytes, from, count, firstBlock, startLsn, endLsn, seeds, lanes)
      if (from >= count) return
      found.push(firstBlock + from)
    }
  }
  const stageOffset = (): number => {
    stage ??= memory.allocate(stageBytes)
    return stage
  }

  return {
    pageBytes,
    verify(bytes: Uint8Array, firstBlock: number): number[] {
      const found: number[] = []
      const count = Math.floor(bytes.length / pageBytes)
      if (bytes.buffer === memory.memory.buffer) {
        scan(bytes.byteOffset, count, firstBlock, found)
        return found
      }
      const perStage = Math.floor(stageBytes / pageBytes)
      for (let done = 0; done < count; done += perStage) {
        const pages = Math.min(perStage, count - done)
        const offset = stageOffset()
        memory.bytes.set(bytes.subarray(done * pageBytes, (done + pages) * pageBytes), offset)
        scan(offset, pages, firstBlock + done, found)
      }
      return found
    },
    confirm(
      fd: number,
      suspects: readonly number[],
      fileFirstBlock: number,
      path = 'relation file',
    ): SuspectPage[] {
      const damaged: SuspectPage[] = []
      for (const block of suspects) {
        const offset = stageOffset()
        const page = memory.bytes.subarray(offset, offset + pageBytes)
        if (!readPage(fd, path, page, (block - fileFirstBlock) * pageBytes)) continue
        const found: number[] = []
        scan(offset, 1, block, found)
        if (found.length > 0) damaged.push(suspectOf(page, block))
      }
      return damaged
    },
  }
}

/**
 * Judges the pages of one file that comes in pieces of any length: the one judgement of pushes, from here and over the wire, and
 * of `verify`. Every page is looked at: one whose header says that nothing was written yet must be zeros all over.
 */
export class PagePieces {
  /** In the order in which they came. */
  readonly suspects: SuspectPage[] = []
  readonly #verifier: PageVerifier
  readonly #firstBlock: number
  /** A page that the end of a piece has cut in two. */
  readonly #held: Uint8Array
  #heldBytes = 0
  #block: number

  /** `firstBlock`: number of the file's first page within its fork. `held`: room for one page, best where the verifier reads. */
  constructor(
    verifier: PageVerifier,
    firstBlock: number,
    held: Uint8Array = new Uint8Array(verifier.pageBytes),
  ) {
    this.#verifier = verifier
    this.#firstBlock = firstBlock
    this.#held = held
    this.#block = firstBlock
  }

  /** Takes the next bytes; they are lent until the call returns. */
  observe(bytes: Uint8Array): void {
    const { pageBytes } = this.#verifier
    let rest = bytes
    if (this.#heldBytes > 0) {
      const piece = rest.subarray(0, pageBytes - this.#heldBytes)
      this.#held.set(piece, this.#heldBytes)
      this.#heldBytes += piece.length
      rest = rest.subarray(piece.length)
      if (this.#heldBytes < pageBytes) return
      this.#judge(this.#held)
      this.#heldBytes = 0
    }
    const wholeBytes = rest.length - (rest.length % pageBytes)
    if (wholeBytes > 0) this.#judge(rest.subarray(0, wholeBytes))
    this.#heldBytes = rest.length - wholeBytes
    if (this.#heldBytes > 0) this.#held.set(rest.subarray(wholeBytes))
  }

  /** What is observed next begins with this page of the file. */
  seek(blockOfFile: number): void {
    this.#block = this.#firstBlock + blockOfFile
    this.#heldBytes = 0
  }

  #judge(pages: Uint8Array): void {
    const { pageBytes } = this.#verifier
    for (const number of this.#verifier.verify(pages, this.#block)) {
      const at = (number - this.#block) * pageBytes
      this.suspects.push(suspectOf(pages.subarray(at, at + pageBytes), number))
    }
    this.#block += pages.length / pageBytes
  }
}

/** What the header of a page whose checksum does not match says of its age. */
export function suspectOf(page: Uint8Array, block: number): SuspectPage {
  return { block, lsn: hasUpper(page) ? readPageLsn(page) : undefined }
}

/** As WebAssembly takes 64 bits. */
function windowOf({ startLsn, endLsn = LSN_MAX }: PageVerifierOptions): { startLsn: bigint; endLsn: bigint } {
  const window = startLsn === undefined ? NO_WINDOW : { startLsn, endLsn }
  return { startLsn: BigInt.asIntN(64, window.startLsn), endLsn: BigInt.asIntN(64, window.endLsn) }
}

/** False when the file ends before the end of the page. */
function readPage(fd: number, path: string, page: Uint8Array, position: number): boolean {
  let got = 0
  try {
    while (got < page.length) {
      const count = readSync(fd, page, got, page.length - got, position + got)
      if (count === 0) return false
      got += count
    }
  } catch (error) {
    throw fromSystemError(error, 'read', path)
  }
  return true
}
