import type { Logger } from '../../../kit/log.ts'
import { formatByteSize } from '../../../kit/sizes.ts'

const NAMED_MAX = 5

const REASONS = {
  'no server': 'no server says whether they are the same',
  'no record': 'that backup does not tell whether they are the same',
  'other rows': 'they were created again or altered since',
}

/** Why nothing tells that a database is the parent's. */
export type Doubt = keyof typeof REASONS

/** What a delta stores whole because nothing tells that the parent has the same database. */
export class DoubtfulDatabases {
  readonly #bytes = new Map<number, number>()

  add(databaseOid: number, fileBytes: number): void {
    this.#bytes.set(databaseOid, (this.#bytes.get(databaseOid) ?? 0) + fileBytes)
  }

  /** Says once what that costs and why. */
  tell(log: Pick<Logger, 'info'>, parent: string, reason: Doubt): void {
    if (this.#bytes.size === 0) return
    const oids = [...this.#bytes.keys()].sort((left, right) => left - right)
    const bytes = [...this.#bytes.values()].reduce((sum, each) => sum + each, 0)
    const more = oids.length > NAMED_MAX ? ` and ${oids.length - NAMED_MAX} more` : ''
    log.info(
      `Stored whole: ${formatByteSize(bytes)}, in the databases with oid ${oids.slice(0, NAMED_MAX).join(', ')}${more}. The data directory ` +
        `was restored or copied since ${parent}, and ${REASONS[reason]}; the next delta will be small again`,
    )
  }
}
