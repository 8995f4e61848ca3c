import { WalgError } from '../../../kit/errors.ts'
import type { BackupName } from '../../../repository/backup-name.ts'
import type { FilesMetadata } from '../../../repository/files-metadata.ts'
import type { MemberTable } from './member-table.ts'

/** What a backup of the chain has to do with a row of the table: a sum of these bits. */
export const IS_WANTED = 1
/** The member is an increment on top of the parent's file. */
export const IS_INCREMENT = 2
/** The file comes from the parent; this backup has no member. */
export const IS_SKIPPED = 4

/** One byte per row, shared with the workers. */
export type Roles = Uint8Array<SharedArrayBuffer>

export const PG_CONTROL = 'global/pg_control'
export const BACKUP_LABEL = 'backup_label'
export const TABLESPACE_MAP = 'tablespace_map'

/** Member names as the mask sees them: with a leading slash, but for the two label files. */
function nameForMask(name: string): string {
  return name === BACKUP_LABEL || name === TABLESPACE_MAP ? name : `/${name}`
}

/**
 * Roles of the backup that was asked for (storage-format 3.6): everything in the table, as far as the mask lets it.
 */
export function targetRoles(table: MemberTable, isWanted?: (name: string) => boolean): Roles {
  const roles: Roles = new Uint8Array(new SharedArrayBuffer(table.count))
  for (let row = 0; row < table.count; row++) {
    if (isWanted === undefined || isWanted(nameForMask(table.name(row)))) roles[row] = IS_WANTED
  }
  return roles
}

/** Adds to the roles of a delta what its own `Files` says. */
export function addDeltaRoles(
  table: MemberTable,
  roles: Roles,
  files: FilesMetadata,
  backup: BackupName,
): void {
  const isListed = new Uint8Array(table.count)
  for (const index of files.indexes()) {
    const name = files.names.bytesAt(index)
    const row = table.findSlice(name, 0, name.length)
    if (row < 0) continue
    isListed[row] = 1
    if (files.isIncremented(index)) roles[row]! |= IS_INCREMENT
    if (files.isSkipped(index)) roles[row]! |= IS_SKIPPED
  }
  for (let row = 0; row < table.count; row++) {
    if ((roles[row]! & IS_WANTED) === 0 || isListed[row] === 1) continue
    const name = table.name(row)
    if (name === PG_CONTROL || name === BACKUP_LABEL || name === TABLESPACE_MAP) continue
    throw new WalgError(
      'CHAIN_BROKEN',
      `backup "${backup}" does not list "${name}", which a later backup builds on`,
      {
        facts: { backup, file: name },
        hint: 'restore another backup; this chain is incomplete',
      },
    )
  }
}

/** Roles of a parent: wanted is what the child skipped or incremented. */
export function parentRoles(child: Roles): Roles {
  const roles: Roles = new Uint8Array(new SharedArrayBuffer(child.length))
  for (let row = 0; row < child.length; row++) {
    const role = child[row]!
    if ((role & IS_WANTED) !== 0 && (role & (IS_INCREMENT | IS_SKIPPED)) !== 0) roles[row] = IS_WANTED
  }
  return roles
}
