import { parseControlFile } from '../../postgres/control-file.ts'
import { isPgControlPart, partsPrefix } from '../../repository/layout.ts'
import { type Findings, isFinding } from './findings.ts'
import type { InspectedBackup } from './inspect-backup.ts'
import type { WorkItem } from './plan-work.ts'
import type { ReadLane } from './read-object.ts'
import { type PartExpectations, readPart } from './read-part.ts'

const BLOCKS_SHOWN_MAX = 10

/** Reads the parts of one backup and turns what is wrong with them into findings. */
export class PartReader {
  readonly #inspected: InspectedBackup
  readonly #findings: Findings
  readonly #pageBytes: number
  #pages: PartExpectations['pages'] = null

  constructor(inspected: InspectedBackup, findings: Findings, pageBytes: number) {
    this.#inspected = inspected
    this.#findings = findings
    this.#pageBytes = pageBytes
  }

  /** Where there are no hashes pg_control says whether pages have checksums; its own damage is found with its part. */
  async readControlFile(lane: ReadLane): Promise<void> {
    const { backup, manifest, parts } = this.#inspected
    const { lsn, finishLsn } = backup.document.sentinel
    const part = parts.find(({ key }) => isPgControlPart(key))
    if (manifest !== null || part === undefined || lsn === null) return
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

  /** True when the part is good. */
  async read(lane: ReadLane, item: WorkItem): Promise<boolean> {
    const { name } = this.#inspected.backup
    try {
      const { damagedPages, controlFile } = await readPart(
        lane,
        item.key,
        this.#nameOf(item),
        this.#expectations(),
      )
      if (controlFile !== null) parseControlFile(controlFile, 'global/pg_control')
      const unknown = damagedPages.filter(({ member, blocks }) => !this.#isKnown(member, blocks))
      for (const { member, blocks } of damagedPages) this.#reportPages(item, member, blocks)
      return unknown.length === 0
    } catch (error) {
      if (!isFinding(error)) throw error
      this.#findings.error(name, item.key, error.message)
      return false
    }
  }

  #expectations(): PartExpectations {
    const { backup, manifest, files } = this.#inspected
    const isDelta = backup.document.sentinel.delta !== null
    return { isDelta, manifest, files, pages: this.#pages, pageBytes: this.#pageBytes }
  }

  #nameOf({ key }: WorkItem): string {
    return key.slice(partsPrefix(this.#inspected.backup.name).length + 1)
  }

  #reportPages(item: WorkItem, member: string, blocks: readonly number[]): void {
    const { name } = this.#inspected.backup
    const more = blocks.length > BLOCKS_SHOWN_MAX ? `, ${blocks.length} in all` : ''
    const shown = `${member}/[${blocks.slice(0, BLOCKS_SHOWN_MAX).join(', ')}]${more}`
    if (this.#isKnown(member, blocks)) {
      this.#findings.warning(name, item.key, `pages were damaged when the backup was taken: ${shown}`)
    } else this.#findings.error(name, item.key, `the checksum of pages does not match: ${shown}`)
  }

  /** The push itself saw as many damaged pages in this file. */
  #isKnown(member: string, blocks: readonly number[]): boolean {
    const { files } = this.#inspected
    const at = files?.find(member) ?? -1
    return at >= 0 && (files!.entry(at).corruptBlocks?.count ?? 0) >= blocks.length
  }
}
