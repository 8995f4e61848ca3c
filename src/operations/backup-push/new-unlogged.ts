import { existsSync } from 'node:fs'
import { parseRelationFile } from '../../postgres/relation-file.ts'
import type { DataEntries } from '../../postgres/walk/data-entries.ts'

const INIT_ENDING = new TextEncoder().encode('_init')

/**
 * Main forks of unlogged relations that the walk has seen without their init fork, because they were made while it looked, after
 * `begunNs` (by the clock of the file system). Restored so, recovery makes the init fork and then does not start, because the main fork
 * is there already. Nothing is lost without it: recovery empties unlogged relations.
 */
export function findNewUnlogged(entries: DataEntries, begunNs: bigint): ReadonlySet<number> {
  const seen = new Set<string>()
  for (let index = 0; index < entries.count; index++) {
    if (entries.endsIn(index, INIT_ENDING)) seen.add(entries.path(index))
  }
  const found = new Set<number>()
  for (let index = 0; index < entries.count; index++) {
    if (entries.isDirectory(index) || entries.ctimeNs(index) < begunNs) continue
    const relation = parseRelationFile(entries.memberName(index))
    if (relation?.fork !== 'main' || relation.isTemporary) continue
    const path = entries.path(index)
    const init = `${relation.segment === 0 ? path : path.slice(0, path.lastIndexOf('.'))}_init`
    if (!seen.has(init) && existsSync(init)) found.add(index)
  }
  return found
}
