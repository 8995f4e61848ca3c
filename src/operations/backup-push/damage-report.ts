import { WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import type { DatabasesByNames } from '../../postgres/cluster/database-names.ts'
import { parseRelationFile } from '../../postgres/relation-file.ts'

/** Damaged pages of one file. */
export interface DamagedFile {
  readonly memberName: string
  readonly blocks: readonly number[]
  /** Recovery empties it before anyone reads it. */
  readonly isEmptied?: boolean
}

const FILES_SAID_MAX = 50
const BLOCKS_SAID_MAX = 10

/** One line for each damaged file: which relation it belongs to, and which of its pages are damaged. */
export function describeDamage(
  files: readonly DamagedFile[],
  databases: DatabasesByNames | null,
): readonly string[] {
  const pagesCount = files.reduce((sum, { blocks }) => sum + blocks.length, 0)
  const lines = [`${pagesCount} corrupt pages in ${files.length} files:`]
  for (const { memberName, blocks, isEmptied } of files.slice(0, FILES_SAID_MAX)) {
    const relation = isEmptied
      ? 'unlogged relation, which recovery empties,'
      : relationOf(memberName, databases)
    const more = blocks.length > BLOCKS_SAID_MAX ? `, … (${blocks.length} in all)` : ''
    lines.push(`${relation} "${memberName}": ${blocks.slice(0, BLOCKS_SAID_MAX).join(', ')}${more}`)
  }
  if (files.length > FILES_SAID_MAX) lines.push(`and ${files.length - FILES_SAID_MAX} more files`)
  return lines
}

/** Damaged pages in all files. */
export function countPages(damage: ReadonlyMap<unknown, readonly number[]>): number {
  return [...damage.values()].reduce((sum, blocks) => sum + blocks.length, 0)
}

/** What is said as soon as damage is found in a file. */
export function describeFound(file: string, blocks: readonly number[]): string {
  const more = blocks.length > BLOCKS_SAID_MAX ? `, ${blocks.length} in all` : ''
  return `Corruption found in ${file}/[${blocks.slice(0, BLOCKS_SAID_MAX).join(', ')}]${more}`
}

/** Says at the end what is damaged. Throws CHECKSUM_MISMATCH instead when damage is to fail the backup; what recovery empties does not. */
export function reportDamage(
  log: Logger,
  files: readonly DamagedFile[],
  databases: DatabasesByNames | null,
  isFatal: boolean,
): void {
  const told = isFatal ? files.filter(({ isEmptied }) => isEmptied !== true) : files
  if (told.length === 0) return
  const lines = describeDamage(told, databases)
  for (const line of lines) log.warning(line)
  if (!isFatal) return
  throw new WalgError('CHECKSUM_MISMATCH', `${lines[0]!.slice(0, -1)}: WALG_FAIL_ON_CORRUPT is set`, {
    facts: { files: told.length, file: told[0]!.memberName },
    hint: 'repair the relations named above (restore them, REINDEX an index), or unset WALG_FAIL_ON_CORRUPT to keep a backup of the damage',
  })
}

function relationOf(memberName: string, databases: DatabasesByNames | null): string {
  const file = parseRelationFile(memberName)
  if (file === undefined || databases === null) return 'unknown relation'
  for (const [database, { oid, tables }] of databases) {
    if (file.databaseOid !== 0 && oid !== file.databaseOid) continue
    for (const [name, table] of tables) {
      const found = [[name, table] as const, ...table.subtables].find(
        ([, node]) => node.relfilenode === file.relfilenode,
      )
      if (found !== undefined) return `${found[0]} of database ${database}`
    }
  }
  return 'unknown relation'
}
