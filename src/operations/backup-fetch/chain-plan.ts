import { hasCode, WalgError } from '../../kit/errors.ts'
import { readFilesMetadata } from '../../repository/catalog.ts'
import type { FilesMetadata } from '../../repository/files-metadata.ts'
import { partsPrefix } from '../../repository/layout.ts'
import type { ContentManifest } from '../../repository/manifest.ts'
import type { OperationContext } from '../context.ts'
import type { BackupFetchOptions } from './backup-fetch.ts'
import { type ChainBackup, readContentManifest } from './chain.ts'
import { type PartsPlan, planParts, type StoredPart } from './fetch-plan.ts'
import { compileGlob } from './glob-match.ts'
import { addDeltaRoles, parentRoles, type Roles, targetRoles } from './member-roles.ts'
import { canonicalName, MemberTable } from './member-table.ts'

/** One backup of the chain with what is to be done. */
export interface FetchStep {
  readonly backup: ChainBackup
  readonly isDelta: boolean
  readonly isTarget: boolean
  readonly roles: Roles
  readonly parts: PartsPlan
  readonly hasContentManifest: boolean
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
  let roles: Roles | undefined
  for (const backup of chain) {
    const isTarget = roles === undefined
    const isDelta = backup.document.sentinel.delta !== null
    const manifest = await manifestOf(context, backup, options)
    const files = await filesOf(context, backup)
    if (isTarget) {
      const names = files === null ? manifestNames(manifest) : fileNames(files)
      hasList = names !== null
      if (!hasList && options.mask !== '') {
        context.log.warning(`backup ${backup.name} has no list of its files: --mask has no effect`)
      }
      const isWanted = options.mask === '' ? undefined : compileGlob(`/${options.mask}`)
      const how = { isDelta, hasTablespaceMap, ...(isWanted === undefined ? {} : { isWanted }) }
      roles = names === null ? new Uint8Array(new SharedArrayBuffer(0)) : targetRoles(table, names, how)
    } else roles = parentRoles(roles!)
    if (isDelta) {
      if (files === null) throw noFilesOfDelta(backup)
      addDeltaRoles(table, roles, files, backup.name)
    }
    const stored = await listParts(context, backup)
    const parts = planParts({
      backup: backup.name,
      isTarget,
      stored,
      files,
      manifest,
      table: hasList ? table : null,
      roles,
    })
    for (const part of parts.foreign) {
      context.log.warning(`"${part}" is no part of backup ${backup.name}: it is not restored`)
    }
    steps.unshift({
      backup,
      isDelta,
      isTarget,
      roles,
      parts,
      hasContentManifest: manifest !== null,
      isSizeChecked: isTarget && files === null && manifest === null,
    })
  }
  const all = steps.flatMap(({ parts }) => [...parts.ordinary, ...parts.late])
  const totalBytes = all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return { steps, table, hasList, totalBytes }
}

async function manifestOf(
  context: OperationContext,
  backup: ChainBackup,
  options: BackupFetchOptions,
): Promise<ContentManifest | null> {
  if (options.ignoresContentManifest) return null
  return readContentManifest(context.storage, context.codec, backup, context)
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

function* fileNames(files: FilesMetadata): Generator<string> {
  for (const index of files.indexes()) yield files.name(index)
}

function manifestNames(manifest: ContentManifest | null): Iterable<string> | null {
  if (manifest === null) return null
  return (function* () {
    for (const file of manifest.files()) yield canonicalName(file.name)
  })()
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
