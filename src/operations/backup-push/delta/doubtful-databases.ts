import type { Logger } from '../../../kit/log.ts'
import { formatByteSize } from '../../../kit/sizes.ts'
import type { DatabaseRows } from '../../../postgres/cluster/cluster-facts.ts'

const NAMED_MAX = 5

/** What a delta stores whole because nothing tells that the parent has the same database. */
export class DoubtfulDatabases {
  readonly #bytes = new Map<number, number>()

  add(databaseOid: number, fileBytes: number): void {
    this.#bytes.set(databaseOid, (this.#bytes.get(databaseOid) ?? 0) + fileBytes)
  }

  /** Says once what that costs and why: `before` and `now` are the databases of the parent and of the server. */
  tell(
    log: Pick<Logger, 'info'>,
    parent: string,
    before: DatabaseRows | undefined,
    now: DatabaseRows | undefined,
  ): void {
    if (this.#bytes.size === 0) return
    const oids = [...this.#bytes.keys()].sort((left, right) => left - right)
    const bytes = [...this.#bytes.values()].reduce((sum, each) => sum + each, 0)
    const more = oids.length > NAMED_MAX ? ` and ${oids.length - NAMED_MAX} more` : ''
    log.info(
      `Stored whole: ${formatByteSize(bytes)}, in the databases with oid ${oids.slice(0, NAMED_MAX).join(', ')}${more}. The data directory ` +
        `was restored or copied since ${parent}, and ${reasonOf(before, now)}; the next delta will be small again`,
    )
  }
}

function reasonOf(before: DatabaseRows | undefined, now: DatabaseRows | undefined): string {
  if (now === undefined) return 'no server says whether they are the same'
  const isTold = before !== undefined && [...before.values()].some(({ xmin }) => xmin !== undefined)
  return isTold
    ? 'they were created again or altered since'
    : 'that backup does not tell whether they are the same'
}
