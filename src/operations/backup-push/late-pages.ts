import type { Lsn } from '../../postgres/lsn.ts'
import type { SuspectPage } from '../../postgres/page.ts'

/** A damaged page that says it was written after the backup began: where that ends tells whether this can be true. */
export interface LatePage {
  /** Its number from the beginning of the file. */
  readonly block: number
  readonly lsn: bigint
}

/** What was found in one file: numbers of damaged pages from the beginning of the file, ascending, and late ones. */
export interface PageFindings {
  readonly blocks: readonly number[]
  readonly late: readonly LatePage[]
}

/** Tells damage from pages that WAL replay may rewrite. `firstBlock` is the number of the file's first page in its fork. */
export function sortSuspects(
  suspects: readonly SuspectPage[],
  startLsn: bigint,
  firstBlock: number,
): PageFindings {
  const blocks: number[] = []
  const late: LatePage[] = []
  for (const { block, lsn } of suspects) {
    if (lsn === undefined || lsn < startLsn) blocks.push(block - firstBlock)
    else late.push({ block: block - firstBlock, lsn })
  }
  return { blocks, late }
}

/**
 * Judges late pages when the end of the backup is known. Replay rewrites a page that was torn while it was copied: the WAL of
 * the backup holds all of its content. No page of a server is newer than that WAL, so one that claims to be is damaged, and
 * nothing mends it. Returns damaged pages by file, those of `damage` included.
 */
export function judgeLate<File>(
  damage: ReadonlyMap<File, readonly number[]>,
  late: ReadonlyMap<File, readonly LatePage[]>,
  endLsn: Lsn,
  onFound: (file: File, blocks: readonly number[]) => void,
): ReadonlyMap<File, readonly number[]> {
  const all = new Map(damage)
  for (const [file, pages] of late) {
    const blocks = pages.filter(({ lsn }) => lsn > endLsn).map(({ block }) => block)
    if (blocks.length === 0) continue
    onFound(file, blocks)
    all.set(
      file,
      [...(damage.get(file) ?? []), ...blocks].sort((left, right) => left - right),
    )
  }
  return all
}
