import { WalgError } from '../kit/errors.ts'
import type { LinearMemory } from '../kit/linear-memory.ts'
import type { Lsn } from './lsn.ts'

/** Bytes of a page unless the server was built otherwise (`WALG_PG_BLOCK_SIZE`). */
export const PAGE_BYTES_DEFAULT = 8192

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
   * damaged: a suspicion only while a server is writing, see `confirm`. The array is reused by the next call.
   */
  verify(bytes: Uint8Array, firstBlock: number): readonly number[]
  /**
   * Reads each suspect page again from the file and keeps those that are still damaged: a page that the
   * server was just writing reads whole the second time. `fileFirstBlock` is the number of the file's first page
   * within the fork. A page that is gone (the file was truncated) is no damage.
   */
  confirm(fd: number, suspects: readonly number[], fileFirstBlock: number): number[]
}

/** Opens a verifier; cheap. */
export function openPageVerifier(options: PageVerifierOptions = {}): PageVerifier {
  throw new WalgError('NOT_AVAILABLE', `the page verifier is not there yet ${options.pageBytes ?? ''}`)
}
