import { existsSync } from 'node:fs'
import { parseRelationFile } from '../../postgres/relation-file.ts'
import type { DataEntries } from '../../postgres/walk/data-entries.ts'
import { tellUnlogged } from '../../postgres/walk/unlogged-relations.ts'

/**
 * Main forks of unlogged relations that the walk has seen without their init fork, because they were made while it looked, after
 * `begunNs` (by the clock of the file system). Restored so, recovery makes the init fork and then does not start, because the main fork
 * is there already. Nothing is lost without it: recovery empties unlogged relations.
 */
export function findNewUnlogged(entries: DataEntries, begunNs: bigint): ReadonlySet<number> {
  const isKnown = tellUnlogged(entries)
  const found = new Set<number>()
  for (let index = 0; index < entries.count; index++) {
    if (entries.isDirectory(index) || entries.ctimeNs(index) < begunNs) continue
    const relation = parseRelationFile(entries.memberName(index))
    if (relation?.fork !== 'main' || relation.isTemporary || isKnown(index)) continue
    const path = entries.path(index)
    const firstPiece = relation.segment === 0 ? path : path.slice(0, path.lastIndexOf('.'))
    if (existsSync(`${firstPiece}_init`)) found.add(index)
  }
  return found
}
