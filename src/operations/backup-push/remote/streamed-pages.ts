import type { ByteStream } from '../../../kit/bytes.ts'
import type { Logger } from '../../../kit/log.ts'
import type { Lsn } from '../../../postgres/lsn.ts'
import {
  openPageVerifier,
  PagePieces,
  type PageVerifier,
  type SuspectPage,
  suspectOf,
} from '../../../postgres/page.ts'
import { firstBlockOf, parseRelationFile } from '../../../postgres/relation-file.ts'
import { describeFound } from '../damage-report.ts'
import { judgeLate, type LatePage, type PageFindings, sortSuspects } from '../late-pages.ts'
import type { ReadAgain } from './read-again.ts'

export interface StreamedPagesOptions {
  readonly pageBytes: number
  readonly blocksPerSegment: number
  /** Damaged pages that were written since then are late: WAL replay may rewrite them. */
  readonly startLsn: Lsn
  readonly log: Logger
}

/** Pages of one file that look damaged, and whose headers say that nothing was written to them yet. */
interface UnwrittenPages {
  readonly firstBlock: number
  readonly blocks: readonly number[]
}

/** More are not read again: a server writes few pages at a time. */
const READ_AGAIN_MAX = 1000
const UNREAD = { lsn: undefined }

/**
 * Verifies page checksums of what the server sends. The server verifies, too, and reads a page that it was just writing a second
 * time: what is still damaged when it comes here stays so. It passes over all that claims to be newer than the start, and those
 * pages are judged here alone; and over pages without an upper bound, which are read again at the end, where the server lets us. It
 * names no more than five pages of a file, and files in tablespaces by their place on its disk, in the language of its messages;
 * here all of them are found, under the names of the backup.
 */
export class StreamedPages {
  readonly #damage = new Map<string, readonly number[]>()
  readonly #late = new Map<string, readonly LatePage[]>()
  readonly #unwritten = new Map<string, UnwrittenPages>()
  readonly #verifier: PageVerifier
  readonly #startLsn: Lsn
  readonly #blocksPerSegment: number
  readonly #log: Logger

  constructor({ pageBytes, blocksPerSegment, startLsn, log }: StreamedPagesOptions) {
    this.#verifier = openPageVerifier({ pageBytes })
    this.#startLsn = startLsn
    this.#blocksPerSegment = blocksPerSegment
    this.#log = log
  }

  /** The content of a file as it is; what is damaged in it is noted when all of it has gone by. */
  verify(memberName: string, sizeBytes: number, content: ByteStream): ByteStream {
    const name = memberName.replace(/^\.\//, '')
    const relation = parseRelationFile(name)
    if (relation === undefined) return content
    if (sizeBytes % this.#verifier.pageBytes === 0) {
      return this.#observe(name, firstBlockOf(relation, this.#blocksPerSegment), content)
    }
    this.#log.warning(`"${name}" has ${sizeBytes} bytes, not whole pages: packed without verifying its pages`)
    return content
  }

  /** Numbers of damaged pages from the beginning of the file, by member name, ascending, when the backup ends at `endLsn`. */
  async judge(endLsn: Lsn, readAgain: ReadAgain): Promise<ReadonlyMap<string, readonly number[]>> {
    let left = READ_AGAIN_MAX
    for (const [name, { firstBlock, blocks }] of this.#unwritten) {
      const suspects: SuspectPage[] = []
      for (const block of blocks) {
        const page = left-- > 0 ? await this.#readAgain(name, firstBlock, block, readAgain) : UNREAD
        if (page !== undefined) suspects.push({ ...page, block })
      }
      this.#note(name, sortSuspects(suspects, this.#startLsn, firstBlock))
    }
    this.#unwritten.clear()
    return judgeLate(this.#damage, this.#late, endLsn, (name, blocks) =>
      this.#log.warning(describeFound(name, blocks)),
    )
  }

  /** Undefined: it was being written, or has been cut off since. */
  async #readAgain(
    name: string,
    firstBlock: number,
    block: number,
    readAgain: ReadAgain,
  ): Promise<Pick<SuspectPage, 'lsn'> | undefined> {
    const { pageBytes } = this.#verifier
    const page = await readAgain(name, (block - firstBlock) * pageBytes, pageBytes)
    if (page === 'unable') return UNREAD
    if (page === undefined || this.#verifier.verify(page, block).length === 0) return undefined
    return suspectOf(page, block)
  }

  async *#observe(name: string, firstBlock: number, content: ByteStream): AsyncGenerator<Uint8Array> {
    const pages = new PagePieces(this.#verifier, firstBlock)
    for await (const bytes of content) {
      pages.observe(bytes)
      yield bytes
    }
    const unwritten = pages.suspects.filter(({ lsn }) => lsn === undefined)
    if (unwritten.length > 0)
      this.#unwritten.set(name, { firstBlock, blocks: unwritten.map(({ block }) => block) })
    const written = pages.suspects.filter(({ lsn }) => lsn !== undefined)
    this.#note(name, sortSuspects(written, this.#startLsn, firstBlock))
  }

  #note(name: string, { blocks, late }: PageFindings): void {
    if (late.length > 0) this.#late.set(name, [...(this.#late.get(name) ?? []), ...late])
    if (blocks.length === 0) return
    this.#damage.set(
      name,
      [...(this.#damage.get(name) ?? []), ...blocks].sort((left, right) => left - right),
    )
    this.#log.warning(describeFound(name, blocks))
  }
}
