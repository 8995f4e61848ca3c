import { readSync } from 'node:fs'
import { fromSystemError } from '../kit/errors.ts'
import { createLinearMemory, type LinearMemory, openModule } from '../kit/linear-memory.ts'
import type { Lsn } from './lsn.ts'
import modulePath from './page.wasm' with { type: 'file' }
import { CHECKSUM_SEEDS, PAGE_BYTES_DEFAULT } from './page-header.ts'
import scalarModulePath from './page-scalar.wasm' with { type: 'file' }

export interface PageVerifierOptions {
  /** Memory that holds the pages (see `verify`); without it the verifier has its own and copies into it. */
  readonly memory?: LinearMemory
  /** Default 8192. */
  readonly pageBytes?: number
  /** Pages with this LSN or a newer one are not judged: WAL replay rewrites them after a restore. */
  readonly startLsn?: Lsn
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
  confirm(fd: number, suspects: readonly number[], fileFirstBlock: number, path?: string): number[]
}

interface PageExports {
  verify(
    page: number,
    pageBytes: number,
    from: number,
    count: number,
    firstBlock: number,
    startLsn: bigint,
    seeds: number,
    lanes: number,
  ): number
}

/** Without a start every page is judged. */
const LSN_END = (1n << 64n) - 1n
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
  const startLsn = BigInt.asIntN(64, options.startLsn ?? LSN_END)
  const stageBytes = Math.max(STAGE_BYTES, pageBytes)
  let stage: number | undefined

  const scan = (address: number, count: number, firstBlock: number, found: number[]): void => {
    for (let from = 0; ; from++) {
      from = exports.verify(address, pageBytes, from, count, firstBlock, startLsn, seeds, lanes)
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
    ): number[] {
      const damaged: number[] = []
      for (const block of suspects) {
        const offset = stageOffset()
        const page = memory.bytes.subarray(offset, offset + pageBytes)
        if (!readPage(fd, path, page, (block - fileFirstBlock) * pageBytes)) continue
        scan(offset, 1, block, damaged)
      }
      return damaged
    },
  }
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
