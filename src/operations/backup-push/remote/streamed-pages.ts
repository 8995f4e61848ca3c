import type { ByteStream } from '../../../kit/bytes.ts'
import type { Logger } from '../../../kit/log.ts'
import type { Lsn } from '../../../postgres/lsn.ts'
import { openPageVerifier, type PageVerifier, type SuspectPage, suspectOf } from '../../../postgres/page.ts'
import { firstBlockOf, parseRelationFile } from '../../../postgres/relation-file.ts'
import { describeFound } from '../damage-report.ts'
import { judgeLate, type LatePage, sortSuspects } from '../late-pages.ts'

export interface StreamedPagesOptions {
  readonly pageBytes: number
  readonly blocksPerSegment: number
  /** Damaged pages that were written since then are late: WAL replay may rewrite them. */
  readonly startLsn: Lsn
  readonly log: Logger
}

/**
 * Verifies page checksums of what the server sends. The server verifies, too, and reads a page that it was just writing a second
 * time: what is still damaged when it comes here stays so. It passes over all that claims to be newer than the start, and so those
 * pages are judged here alone. It names no more than five pages of a file, and files in tablespaces by their place on its disk, in
 * the language of its messages; here all of them are found, under the names of the backup.
 */
export class StreamedPages {
  readonly #damage = new Map<string, readonly number[]>()
  readonly #late = new Map<string, readonly LatePage[]>()
  readonly #verifier: PageVerifier
  readonly #startLsn: Lsn
  readonly #blocksPerSegment: number
  readonly #log: Logger
  /** A page that the end of a message has cut in two. */
  readonly #carried: Uint8Array

  constructor({ pageBytes, blocksPerSegment, startLsn, log }: StreamedPagesOptions) {
    this.#verifier = openPageVerifier({ pageBytes })
    this.#startLsn = startLsn
    this.#blocksPerSegment = blocksPerSegment
    this.#log = log
    this.#carried = new Uint8Array(pageBytes)
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
  judge(endLsn: Lsn): ReadonlyMap<string, readonly number[]> {
    return judgeLate(this.#damage, this.#late, endLsn, (name, blocks) =>
      this.#log.warning(describeFound(name, blocks)),
    )
  }

  async *#observe(name: string, firstBlock: number, content: ByteStream): AsyncGenerator<Uint8Array> {
    const { pageBytes } = this.#verifier
    const found: SuspectPage[] = []
    let block = firstBlock
    let carriedBytes = 0
    const judge = (pages: Uint8Array): void => {
      for (const number of this.#verifier.verify(pages, block)) {
        const at = (number - block) * pageBytes
        const suspect = suspectOf(pages.subarray(at, at + pageBytes), number)
        // the server never judges a page without content, and so does not read it again either
        if (suspect.lsn !== undefined) found.push(suspect)
      }
      block += Math.floor(pages.length / pageBytes)
    }
    for await (const bytes of content) {
      let rest = bytes
      if (carriedBytes > 0) {
        const piece = rest.subarray(0, pageBytes - carriedBytes)
        this.#carried.set(piece, carriedBytes)
        carriedBytes += piece.length
        rest = rest.subarray(piece.length)
        if (carriedBytes === pageBytes) {
          judge(this.#carried)
          carriedBytes = 0
        }
      }
      const whole = rest.subarray(0, rest.length - (rest.length % pageBytes))
      if (whole.length > 0) judge(whole)
      const tail = rest.subarray(whole.length)
      if (tail.length > 0) {
        this.#carried.set(tail)
        carriedBytes = tail.length
      }
      yield bytes
    }
    if (found.length === 0) return
    const { blocks, late } = sortSuspects(found, this.#startLsn, firstBlock)
    if (late.length > 0) this.#late.set(name, late)
    if (blocks.length === 0) return
    this.#damage.set(name, blocks)
    this.#log.warning(describeFound(name, blocks))
  }
}
