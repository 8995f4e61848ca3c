import type { ByteStream } from '../../../kit/bytes.ts'
import type { Logger } from '../../../kit/log.ts'
import type { Lsn } from '../../../postgres/lsn.ts'
import { openPageVerifier, type PageVerifier } from '../../../postgres/page.ts'
import { firstBlockOf, parseRelationFile } from '../../../postgres/relation-file.ts'
import { describeFound } from '../damage-report.ts'

export interface StreamedPagesOptions {
  readonly pageBytes: number
  readonly blocksPerSegment: number
  /** Pages written since then are not judged: WAL replay rewrites them. */
  readonly startLsn: Lsn
  readonly log: Logger
}

const AT_UPPER = 14

/**
 * Verifies page checksums of what the server sends. The server verifies, too, and reads a page that it was just writing a second
 * time: what is still damaged when it comes here stays so. It names no more than five pages of a file, and files in tablespaces by
 * their place on its disk, in the language of its messages; here all of them are found, under the names of the backup.
 */
export class StreamedPages {
  /** Numbers of damaged pages from the beginning of the file, by member name, ascending. */
  readonly damage: ReadonlyMap<string, readonly number[]>
  readonly #damage = new Map<string, readonly number[]>()
  readonly #verifier: PageVerifier
  readonly #blocksPerSegment: number
  readonly #log: Logger
  /** A page that the end of a message has cut in two. */
  readonly #carried: Uint8Array

  constructor({ pageBytes, blocksPerSegment, startLsn, log }: StreamedPagesOptions) {
    this.damage = this.#damage
    this.#verifier = openPageVerifier({ pageBytes, startLsn })
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

  async *#observe(name: string, firstBlock: number, content: ByteStream): AsyncGenerator<Uint8Array> {
    const { pageBytes } = this.#verifier
    const found: number[] = []
    let block = firstBlock
    let carriedBytes = 0
    const judge = (pages: Uint8Array): void => {
      for (const number of this.#verifier.verify(pages, block)) {
        if (!isNew(pages, (number - block) * pageBytes)) found.push(number - firstBlock)
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
    this.#damage.set(name, found)
    this.#log.warning(describeFound(name, found))
  }
}

/** The server never judges a page without content, and so does not read it again either. */
function isNew(pages: Uint8Array, at: number): boolean {
  return pages[at + AT_UPPER] === 0 && pages[at + AT_UPPER + 1] === 0
}
