import type { Logger } from '../../kit/log.ts'
import type { RelationUpdates } from '../../postgres/cluster/relation-updates.ts'
import { parseRelationFile } from '../../postgres/relation-file.ts'
import type { DataEntries } from '../../postgres/walk/data-entries.ts'
import type { BackupSource } from './source/backup-source.ts'

/**
 * How files are put together into parts (storage-format 8): as it comes, by update frequency, by directory of a database;
 * `copy`: as it comes, but unchanged parts of the previous full backup are copied inside the storage.
 */
export type Composer = 'regular' | 'rating' | 'database' | 'copy'

/** Which files go together: a part holds files of one group only. */
export interface Arrangement {
  /** By entry; groups are packed in ascending order. */
  readonly groups: Uint32Array
  /** Order within a group by entry, ascending; undefined: no matter. */
  readonly ranks: Float64Array | undefined
  /** `UpdatesCount` by entry. */
  readonly updates: ReadonlyMap<number, bigint>
}

/** Undefined for composers that pack as it comes. */
export async function arrange(
  composer: Composer,
  entries: DataEntries,
  source: BackupSource,
  log: Logger,
): Promise<Arrangement | undefined> {
  switch (composer) {
    case 'regular':
    case 'copy':
      return undefined
    case 'database':
      return byDirectory(entries)
    case 'rating': {
      const updates = await source.readUpdates()
      if (updates === null) log.warning('no server tells how often files are updated: all count as never')
      return byRating(entries, updates ?? new Map())
    }
  }
}

/** Every directory of a database below `base/` for itself, everything else together in front. */
export function byDirectory(entries: DataEntries): Arrangement {
  const groups = new Uint32Array(entries.count)
  const numbers = new Map<number, number>()
  for (let index = 0; index < entries.count; index++) {
    const place = entries.placeOf(index)
    if (!/^\/base(?:\/|$)/.test(entries.places[place]!.member)) continue
    let number = numbers.get(place)
    if (number === undefined) {
      number = numbers.size + 1
      numbers.set(place, number)
    }
    groups[index] = number
  }
  return { groups, ranks: undefined, updates: new Map() }
}

/** What is never updated first, then the rest, the most often updated last: parts of cold files stay as they are. */
export function byRating(entries: DataEntries, updatesOf: RelationUpdates): Arrangement {
  const groups = new Uint32Array(entries.count)
  const ranks = new Float64Array(entries.count)
  const updates = new Map<number, bigint>()
  for (let index = 0; index < entries.count; index++) {
    const file = parseRelationFile(entries.memberName(index))
    if (file === undefined) continue
    const count = updatesOf.get(`${file.tablespaceOid}/${file.databaseOid}/${file.relfilenode}`) ?? 0n
    if (count === 0n) continue
    groups[index] = 1
    ranks[index] = Number(count)
    updates.set(index, count)
  }
  return { groups, ranks, updates }
}
