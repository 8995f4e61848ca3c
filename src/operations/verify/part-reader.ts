import { parseControlFile } from '../../postgres/control-file.ts'
import { isLabelPart, isPgControlPart, partsPrefix } from '../../repository/layout.ts'
import type { WalObject } from '../../repository/wal-catalog.ts'
import { type Findings, isFinding } from './findings.ts'
import type { InspectedBackup } from './inspect-backup.ts'
import type { WorkItem } from './plan-work.ts'
import type { ReadLane } from './read-object.ts'
import { type DamagedPages, type PartExpectations, readPart } from './read-part.ts'
import { findReplayed, type PagePlace } from './replayed-pages.ts'

const BLOCKS_SHOWN_MAX = 10

/** Reads the parts of one backup and turns what is wrong with them into findings. */
export class PartReader {
  readonly #inspected: InspectedBackup
  readonly #findings: Findings
  readonly #pageBytes: number
  readonly #suspects = new Map<WorkItem, readonly DamagedPages[]>()
  #pages: PartExpectations['pages'] = null

  constructor(inspected: InspectedBackup, findings: Findings, pageBytes: number) {
    this.#inspected = inspected
    this.#findings = findings
    this.#pageBytes = pageBytes
  }

  /** pg_control says whether pages have checksums; its own damage is found with its part. */
  async readControlFile(lane: ReadLane): Promise<void> {
    const { backup, parts } = this.#inspected
    const { lsn, finishLsn } = backup.document.sentinel
    const part = parts.find(({ key }) => isPgControlPart(key))
    if (part === undefined || lsn === null) return
    try {
      const quiet = { ...lane, onRead: () => {} }
      const { controlFile } = await readPart(quiet, part.key, this.#nameOf(part), this.#expectations())
      if (controlFile === null) return
      const control = parseControlFile(controlFile, 'global/pg_control')
      if (control.checksumVersion === 0) return
      this.#pages = {
        pageBytes: control.blockBytes,
        blocksPerSegment: control.blocksPerSegment,
        startLsn: lsn,
        ...(finishLsn === null || finishLsn < lsn ? {} : { endLsn: finishLsn }),
      }
    } catch (error) {
      if (!isFinding(error)) throw error
    }
  }

  /** True when the part is good, but for pages of it that look damaged: those `judgePages` has to settle. */
  async read(lane: ReadLane, item: WorkItem): Promise<boolean> {
    try {
      const { damagedPages, controlFile } = await readPart(
        lane,
        item.key,
        this.#nameOf(item),
        this.#expectations(),
      )
      if (controlFile !== null) parseControlFile(controlFile, 'global/pg_control')
      if (damagedPages.length > 0) this.#suspects.set(item, damagedPages)
      return true
    } catch (error) {
      if (!isFinding(error)) throw error
      this.#findings.error(this.#inspected.backup.name, item.key, error.message)
      return false
    }
  }

  /** Whether the pages of a part that has been read wait to be judged. */
  isSuspect(item: WorkItem): boolean {
    return this.#suspects.has(item)
  }

  /**
   * Tells damage from pages that the WAL of the backup, its segments in order, writes anew. Returns the parts that had suspect
   * pages, and whether each is good.
   */
  async judgePages(lane: ReadLane, segments: readonly WalObject[]): Promise<ReadonlyMap<WorkItem, boolean>> {
    const { lsn, finishLsn } = this.#inspected.backup.document.sentinel
    const judged = new Map<WorkItem, boolean>()
    if (this.#suspects.size === 0 || lsn === null) return judged
    const pages = [...this.#suspects.values()].flat().flatMap(placesOf)
    const span = { startLsn: lsn, endLsn: finishLsn ?? undefined }
    const replayed = await findReplayed({ ...lane, onRead: () => {} }, segments, span, pages)
    const left = new Map<DamagedPages, number[]>()
    for (const page of pages) {
      if (replayed.has(page)) continue
      const blocks = left.get(page.of)
      if (blocks === undefined) left.set(page.of, [page.blockOfFile])
      else blocks.push(page.blockOfFile)
    }
    for (const [item, suspects] of this.#suspects) {
      const damaged = suspects.filter(one => left.has(one))
      for (const one of damaged) this.#reportPages(item, one, left.get(one)!)
      judged.set(
        item,
        damaged.every(one => this.#isKnown(one.member, left.get(one)!) || this.#isEmptied(one)),
      )
    }
    return judged
  }

  #expectations(): PartExpectations {
    const { backup, manifest, files } = this.#inspected
    const isDelta = backup.document.sentinel.delta !== null
    return { isDelta, manifest, files, pages: this.#pages, pageBytes: this.#pageBytes }
  }

  #nameOf({ key }: WorkItem): string {
    return key.slice(partsPrefix(this.#inspected.backup.name).length + 1)
  }

  #reportPages(item: WorkItem, damaged: DamagedPages, blocks: readonly number[]): void {
    const { name } = this.#inspected.backup
    const { member } = damaged
    const more = blocks.length > BLOCKS_SHOWN_MAX ? `, ${blocks.length} in all` : ''
    const shown = `${member}/[${blocks.slice(0, BLOCKS_SHOWN_MAX).join(', ')}]${more}`
    if (this.#isKnown(member, blocks)) {
      this.#findings.warning(name, item.key, `pages were damaged when the backup was taken: ${shown}`)
    } else if (this.#isEmptied(damaged)) {
      this.#findings.warning(
        name,
        item.key,
        `the checksum of pages does not match, of an unlogged relation that recovery empties: ${shown}`,
      )
    } else this.#findings.error(name, item.key, `the checksum of pages does not match: ${shown}`)
  }

  /** No WAL tells whether the pages of an unlogged relation were just being written; a server that recovers does not read them. */
  #isEmptied({ member, relation: { fork, relfilenode } }: DamagedPages): boolean {
    const { files, parts } = this.#inspected
    const initFork = `${member.slice(0, member.lastIndexOf('/'))}/${relfilenode}_init`
    const isUnlogged = fork !== 'init' && (files?.find(initFork) ?? -1) >= 0
    return isUnlogged && parts.some(({ key }) => isLabelPart(key))
  }

  /** The push itself saw as many damaged pages in this file. */
  #isKnown(member: string, blocks: readonly number[]): boolean {
    const { files } = this.#inspected
    const at = files?.find(member) ?? -1
    return at >= 0 && (files!.entry(at).corruptBlocks?.count ?? 0) >= blocks.length
  }
}

interface SuspectPlace extends PagePlace {
  readonly of: DamagedPages
  readonly blockOfFile: number
}

function placesOf(of: DamagedPages): SuspectPlace[] {
  const { tablespaceOid, databaseOid, relfilenode, fork } = of.relation
  return of.blocks.map(blockOfFile => ({
    tablespaceOid,
    databaseOid,
    relfilenode,
    fork,
    block: of.firstBlock + blockOfFile,
    blockOfFile,
    of,
  }))
}
