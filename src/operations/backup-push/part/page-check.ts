import { closeSync } from 'node:fs'
import type { LinearMemory } from '../../../kit/linear-memory.ts'
import { openPageVerifier, PagePieces, type PageVerifier, type SuspectPage } from '../../../postgres/page.ts'
import { firstBlockOf, parseRelationFile } from '../../../postgres/relation-file.ts'
import { type PageFindings, sortSuspects } from '../late-pages.ts'
import type { BatchFile } from './file-batch.ts'
import { openFile } from './file-reading.ts'
import type { FileObserver } from './part-packer.ts'

/** How pages are verified; plain data for the workers. */
export interface PageCheckOptions {
  readonly pageBytes: number
  readonly blocksPerSegment: number
  /** Damaged pages that were written since then are late: WAL replay may rewrite them. */
  readonly startLsn: bigint
}

/** Verifies the page checksums of one file while it is packed. */
export interface PageObserver extends FileObserver {
  /** What is observed next begins with this page of the file. */
  seek(block: number): void
  /** Reads suspect pages again and tells which are damaged, or may be. */
  end(): PageFindings
}

const NOTHING_FOUND: PageFindings = { blocks: [], late: [] }

/** Verifies pages in place on the memory that files are read into. One per thread. */
export class PageCheck {
  readonly #verifier: PageVerifier
  readonly #blocksPerSegment: number
  readonly #startLsn: bigint
  /** Room for a page that the end of a block has cut in two. */
  readonly #carried: Uint8Array

  constructor(options: PageCheckOptions, memory: LinearMemory) {
    // every page is looked at: what is newer than the start may still be older than the end, which nobody knows yet
    this.#verifier = openPageVerifier({ memory, pageBytes: options.pageBytes })
    this.#startLsn = options.startLsn
    this.#blocksPerSegment = options.blocksPerSegment
    const carryAt = memory.allocate(options.pageBytes)
    this.#carried = memory.bytes.subarray(carryAt, carryAt + options.pageBytes)
  }

  /** `none`: not a relation's file, or of a temporary table, which every server removes when it starts. `odd`: a relation's file that does not consist of whole pages. */
  open(file: BatchFile): PageObserver | 'none' | 'odd' {
    const relation = parseRelationFile(file.memberName)
    if (relation === undefined || relation.isTemporary) return 'none'
    if (file.sizeBytes % this.#verifier.pageBytes !== 0) return 'odd'
    return this.#observe(file, firstBlockOf(relation, this.#blocksPerSegment))
  }

  #observe(file: BatchFile, firstBlock: number): PageObserver {
    const pages = new PagePieces(this.#verifier, firstBlock, this.#carried)
    return {
      observe: bytes => pages.observe(bytes),
      seek: blockOfFile => pages.seek(blockOfFile),
      end: () => {
        if (pages.suspects.length === 0) return NOTHING_FOUND
        const suspects = pages.suspects.map(({ block }) => block)
        return sortSuspects(this.#confirm(file.path, suspects, firstBlock), this.#startLsn, firstBlock)
      },
    }
  }

  #confirm(path: string, suspects: readonly number[], firstBlock: number): SuspectPage[] {
    const fd = openFile(path)
    // dropped meanwhile: nobody will miss its pages
    if (fd === undefined) return []
    try {
      return this.#verifier.confirm(fd, suspects, firstBlock)
    } finally {
      closeSync(fd)
    }
  }
}
