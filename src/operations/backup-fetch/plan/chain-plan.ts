import { hasCode, WalgError } from '../../../kit/errors.ts'
import { readFilesMetadata } from '../../../repository/catalog.ts'
import type { ChainBackup } from '../../../repository/chain.ts'
import type { FilesMetadata } from '../../../repository/files-metadata.ts'
import { partsPrefix } from '../../../repository/layout.ts'
import { compileGlob } from '../../../storage/glob-match.ts'
import type { OperationContext } from '../../context.ts'
import type { BackupFetchOptions } from '../options.ts'
import { type ContentNames, type ExpectedContent, readExpectedContent } from './expected-content.ts'
import {
  checkFileSets,
  findLabel,
  type ListedLabel,
  type PartsPlan,
  planParts,
  type StoredPart,
} from './fetch-plan.ts'
import {
  addDeltaRoles,
  BACKUP_LABEL,
  IS_INCREMENT,
  IS_SKIPPED,
  IS_WANTED,
  PG_CONTROL,
  parentRoles,
  type Roles,
  TABLESPACE_MAP,
  targetRoles,
} from './member-roles.ts'
import { MemberTable } from './member-table.ts'
import { chooseRelations, type RelationChoice } from './relation-choice.ts'
import { parseDatabaseNames } from './relation-names.ts'

/** One backup of the chain with what is to be done. */
export interface FetchStep {
  readonly backup: ChainBackup
  readonly isDelta: boolean
  readonly isTarget: boolean
  readonly roles: Roles
  readonly parts: PartsPlan
  readonly content: ExpectedContent | null
  /** Nothing lists the files of this backup: only the sum of their sizes can be checked. */
  readonly isSizeChecked: boolean
}

export interface FetchPlan {
  /** Oldest first. */
  readonly steps: readonly FetchStep[]
  readonly table: MemberTable
  /** The table has every member that can be wanted. */
  readonly hasList: boolean
  /** Stored bytes of all parts. */
  readonly totalBytes: number
}

/**
 * Reads the lists of files, newest backup first, and decides what is wanted of each backup (storage-format 3.6). Only
 * the names of the backup that was asked for are kept.
 */
export async function planFetch(
  context: OperationContext,
  chain: readonly ChainBackup[],
  options: BackupFetchOptions,
  hasTablespaceMap: boolean,
): Promise<FetchPlan> {
  const table = new MemberTable()
  const steps: FetchStep[] = []
  let hasList = true
  let child: Roles | undefined
  for (const backup of chain) {
    const isTarget = child === undefined
    const isDelta = hasIncrements(backup)
    const stored = await listParts(context, backup)
    // what is only needed of the list is kept, the list itself is large
    const listed = await readList(context, backup, table, child, stored, options)
    const names = !isTarget ? 'some' : listed === null ? 'add' : 'all known'
    const content = await contentOf(context, backup, options, table, names)
    if (isTarget) hasList = listed !== null || content !== null
    const roles = listed?.roles ?? rolesWithoutList(context, backup, table, child, hasList, options)
    if (isTarget && !hasTablespaceMap && hasList) roles[table.find(TABLESPACE_MAP)] = 0
    const parts = planParts({
      backup: backup.name,
      isTarget,
      stored,
      content,
      table: hasList ? table : null,
      roles,
      labelPart: listed?.labelPart,
      hasLabel: listed?.hasLabel,
    })
    for (const part of parts.foreign) {
      context.log.warning(`"${part}" is no part of backup ${backup.name}: it is not restored`)
    }
    const isSizeChecked = isTarget && !hasList
    steps.unshift({ backup, isDelta, isTarget, roles, parts, content, isSizeChecked })
    child = roles
  }
  if (options.isCatchup !== true) checkHasBase(steps[0]!, table)
  const all = steps.flatMap(({ parts }) => [...parts.ordinary, ...parts.late])
  const totalBytes = all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return { steps, table, hasList, totalBytes }
}

/** Pages without the file that they belong to would be a ruined file. Throws CHAIN_BROKEN. */
function checkHasBase({ backup, roles }: FetchStep, table: MemberTable): void {
  const row = roles.findIndex(role => (role & IS_WANTED) !== 0 && (role & (IS_INCREMENT | IS_SKIPPED)) !== 0)
  if (row < 0) return
  const file = table.name(row)
  throw new WalgError(
    'CHAIN_BROKEN',
    `backup "${backup.name}" has an increment of "${file}", which no earlier backup brought`,
    { facts: { backup: backup.name, file }, hint: 'the chain of backups is damaged: restore another backup' },
  )
}

/** A delta, or a catchup backup, which has no parent. */
function hasIncrements({ document }: ChainBackup): boolean {
  return document.sentinel.delta !== null || document.sentinel.catchupFromLsn !== undefined
}

/** The three utility files are never listed; they are looked for all the same. */
function addNames(table: MemberTable, files: FilesMetadata | null): void {
  for (const index of files?.indexes() ?? []) {
    const name = files!.names.bytesAt(index)
    table.findSlice(name, 0, name.length, true)
  }
  for (const name of [PG_CONTROL, BACKUP_LABEL, TABLESPACE_MAP]) table.add(name)
}

/** What the list of files of one backup says; null when there is none. */
async function readList(
  context: OperationContext,
  backup: ChainBackup,
  table: MemberTable,
  child: Roles | undefined,
  stored: readonly StoredPart[],
  options: BackupFetchOptions,
): Promise<(ListedLabel & { readonly roles: Roles }) | null> {
  const files = await filesOf(context, backup)
  if (child === undefined) addNames(table, files)
  const choice = child === undefined ? readChoice(backup, files, options) : null
  if (files === null) {
    if (backup.document.sentinel.delta !== null) throw noFilesOfDelta(backup)
    return null
  }
  const roles = child === undefined ? rolesOfTarget(table, options, choice) : parentRoles(child)
  if (hasIncrements(backup)) addDeltaRoles(table, roles, files, backup.name)
  if (choice !== null) reportChoice(context, choice)
  checkFileSets({ backup: backup.name, stored, files, table, roles })
  return { roles, ...findLabel(files) }
}

function rolesOfTarget(
  table: MemberTable,
  { mask }: BackupFetchOptions,
  choice: RelationChoice | null = null,
): Roles {
  if (mask === '') return targetRoles(table, choice === null ? undefined : name => choice.isWanted(name))
  const isMatching = compileGlob(`/${mask}`, mask)
  const roles = targetRoles(table, name => isMatching(name) && choice?.isWanted(name) !== false)
  if (roles.some(role => role !== 0)) return roles
  throw new WalgError('BACKUP_NOT_FOUND', `nothing in the backup matches the mask "${mask}"`, {
    facts: { mask },
    hint: 'a mask is a shell pattern such as "global/*", without a slash in front; * and ? do not cross a slash',
  })
}

/** What `--restore-only` means in this backup; null when everything is wanted. */
function readChoice(
  { name }: ChainBackup,
  files: FilesMetadata | null,
  { restoreOnly }: BackupFetchOptions,
): RelationChoice | null {
  if (restoreOnly.length === 0) return null
  if (files?.databases == null) {
    throw new WalgError('BACKUP_BROKEN', `backup "${name}" does not say which file belongs to which table`, {
      facts: { backup: name },
      hint: 'backups over the replication protocol, or with WALG_DISABLE_PARTIAL_RESTORE, can only be restored whole',
    })
  }
  return chooseRelations(parseDatabaseNames(files.databases, name), restoreOnly)
}

const LEFT_OUT_SHOWN_MAX = 50

function reportChoice({ log }: OperationContext, choice: RelationChoice): void {
  const { leftOut, unknownDatabases, hasUnknownIndexes, withUnnamed } = choice
  for (const name of leftOut.slice(0, LEFT_OUT_SHOWN_MAX)) log.info(`Left out: ${name}`)
  log.info(`Tables that are left out: ${leftOut.length}`)
  if (leftOut.length > 0)
    log.info(
      'Drop them when the server is up: WAL may bring some of their pages back, and they can be read then',
    )
  if (unknownDatabases.size > 0) {
    const oids = [...unknownDatabases].sort((left, right) => left - right).join(', ')
    log.warning(
      `the backup does not know the tables of the databases with oid ${oids}: they are restored whole`,
    )
  }
  if (withUnnamed.length > 0) {
    log.warning(
      `the backup does not name partitions of partitions: all files of ${withUnnamed.join(', ')} that belong to no table it names are restored`,
    )
  }
  if (hasUnknownIndexes) {
    log.warning(
      'the backup does not say which indexes belong to the tables: name them, too, or REINDEX the tables',
    )
  }
}

function rolesWithoutList(
  context: OperationContext,
  { name }: ChainBackup,
  table: MemberTable,
  child: Roles | undefined,
  hasList: boolean,
  options: BackupFetchOptions,
): Roles {
  if (child !== undefined) return parentRoles(child)
  if (hasList) return rolesOfTarget(table, options)
  if (options.mask !== '')
    context.log.warning(`backup ${name} has no list of its files: --mask has no effect`)
  return new Uint8Array(new SharedArrayBuffer(0))
}

async function contentOf(
  context: OperationContext,
  backup: ChainBackup,
  options: BackupFetchOptions,
  table: MemberTable,
  names: ContentNames,
): Promise<ExpectedContent | null> {
  if (options.ignoresContentManifest) return null
  const { storage, codec, signal } = context
  return readExpectedContent(storage, codec, backup, { table, names, signal })
}

/**
 * A full backup whose list of files is missing or damaged is restored whole all the same, as the original does; what
 * came is then checked against the sums in the sentinel. A delta without it would be garbage.
 */
async function filesOf(context: OperationContext, backup: ChainBackup): Promise<FilesMetadata | null> {
  try {
    const files = await readFilesMetadata(context.storage, backup.name, backup.document, context)
    return files === null || files.filesCount === 0 ? null : files
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN') || backup.document.sentinel.delta !== null) throw error
    context.log.warning(
      `Could not fetch any files metadata. Everything in the parts of ${backup.name} is restored: ${error.message}`,
    )
    return null
  }
}

function noFilesOfDelta(backup: ChainBackup): WalgError {
  return new WalgError('BACKUP_BROKEN', `backup "${backup.name}" is a delta without a list of files`, {
    facts: { backup: backup.name },
    hint: 'restoring it would give a ruined directory: restore another backup',
  })
}

async function listParts(context: OperationContext, { name }: ChainBackup): Promise<StoredPart[]> {
  const prefix = partsPrefix(name)
  const parts: StoredPart[] = []
  for await (const entry of context.storage.list(prefix, { signal: context.signal })) {
    if (entry.kind !== 'object') continue
    const { key, sizeBytes, modifiedNs } = entry
    parts.push({ part: key.slice(prefix.length + 1), key, sizeBytes, modifiedNs })
  }
  return parts
}
