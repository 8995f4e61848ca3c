import type { Lsn } from '../../postgres/lsn.ts'
import type { Fork, RelationFile } from '../../postgres/relation-file.ts'
import { readRecordChanges, type WalChanges } from '../../postgres/wal/record-content.ts'
import type { WalObject } from '../../repository/wal-catalog.ts'
import { isFinding } from './findings.ts'
import type { ReadLane } from './read-object.ts'
import { WalReader } from './read-wal.ts'

/** A page, by the numbers that WAL has for it; `block` counts from the beginning of the fork. */
export type PagePlace = Pick<RelationFile, 'tablespaceOid' | 'databaseOid' | 'relfilenode' | 'fork'> & {
  readonly block: number
}

/** From where to where a backup needs WAL; without an end: all there is. */
export interface WalSpan {
  readonly startLsn: Lsn
  readonly endLsn: Lsn | undefined
}

/** Beyond every LSN. */
const LSN_END = 1n << 64n

const FORKS: readonly Fork[] = ['main', 'fsm', 'vm', 'init']

/**
 * Those of `pages` that the WAL of a backup writes anew: what was copied of them does not matter, say because the server was
 * just writing them. A push reads such pages again; here there is nothing to read again, but the WAL of a backup holds all of a page that
 * was touched while it was taken. Segments that cannot be read prove nothing: that is another finding.
 */
export async function findReplayed<Page extends PagePlace>(
  lane: ReadLane,
  segments: readonly WalObject[],
  { startLsn, endLsn }: WalSpan,
  pages: readonly Page[],
): Promise<ReadonlySet<Page>> {
  const replayed = new ReplayedPages(pages)
  const reader = new WalReader(lane, ({ view, at, totalBytes }, recordLsn, major) => {
    if (recordLsn === undefined || recordLsn < startLsn || recordLsn >= (endLsn ?? LSN_END)) return
    readRecordChanges(view, at, totalBytes, major, replayed)
  })
  for (const segment of segments) {
    try {
      await reader.read(segment, null)
    } catch (error) {
      if (!isFinding(error)) throw error
    }
  }
  return replayed.found
}

class ReplayedPages<Page extends PagePlace> implements WalChanges {
  readonly found = new Set<Page>()
  /** By tablespace, database, relation and fork, then by number. */
  readonly #pages = new Map<string, Map<number, Page>>()

  constructor(pages: readonly Page[]) {
    for (const page of pages) {
      const { tablespaceOid, databaseOid, relfilenode, fork } = page
      const key = keyOf(tablespaceOid, databaseOid, relfilenode, FORKS.indexOf(fork))
      const ofFork = this.#pages.get(key) ?? new Map<number, Page>()
      this.#pages.set(key, ofFork.set(page.block, page))
    }
  }

  block(tablespace: number, database: number, relation: number, fork: number, block: number): void {
    const page = this.#pages.get(keyOf(tablespace, database, relation, fork))?.get(block)
    if (page !== undefined) this.found.add(page)
  }

  limit(tablespace: number, database: number, relation: number, fork: number, block: number): void {
    const pages = this.#pages.get(keyOf(tablespace, database, relation, fork))
    for (const page of pages?.values() ?? []) if (page.block >= block) this.found.add(page)
  }

  database(tablespace: number, database: number): void {
    for (const page of [...this.#pages.values()].flatMap(ofFork => [...ofFork.values()])) {
      if (page.tablespaceOid === tablespace && page.databaseOid === database) this.found.add(page)
    }
  }

  doubt(): void {}
}

function keyOf(tablespace: number, database: number, relation: number, fork: number): string {
  return `${tablespace} ${database} ${relation} ${fork}`
}
