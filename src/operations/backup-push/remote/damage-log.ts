import { WalgError } from '../../../kit/errors.ts'
import type { Logger } from '../../../kit/log.ts'
import type { DamagedPage } from '../../../postgres/replication/base-backup.ts'

/** Pages that the server found damaged while it sent them. */
export class DamageLog {
  /** Blocks by file, as the server names it. */
  readonly pages: ReadonlyMap<string, readonly number[]>
  readonly #pages = new Map<string, number[]>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
    this.pages = this.#pages
  }

  get count(): number {
    return [...this.#pages.values()].reduce((sum, blocks) => sum + blocks.length, 0)
  }

  note({ file, block }: DamagedPage): void {
    const blocks = this.#pages.get(file)
    if (blocks === undefined) this.#pages.set(file, [block])
    else blocks.push(block)
    this.#log.warning(`Corruption found in ${file}/[${block}]`)
  }

  /** Says it once more at the end. Throws INTEGRITY when that is asked for. */
  end(isFatal: boolean): void {
    if (this.count === 0) return
    const message = `${this.count} corrupt pages in ${this.#pages.size} files`
    if (isFatal) {
      throw new WalgError('INTEGRITY', `${message}: no backup is made of them (WALG_FAIL_ON_CORRUPT)`, {
        facts: { pages: this.count },
        hint: 'restore these relations from an older backup, or take this one without WALG_FAIL_ON_CORRUPT',
      })
    }
    this.#log.warning(message)
  }
}
