import type { WalgError } from '../../kit/errors.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import { readFilesMetadata, readMetadata } from '../../repository/catalog.ts'
import type { ChainBackup } from '../../repository/chain.ts'
import type { FilesMetadata } from '../../repository/files-metadata.ts'
import {
  backupPrefix,
  isPgControlPart,
  PARTS_FOLDER,
  partExtension,
  partsPrefix,
} from '../../repository/layout.ts'
import { readLinkedManifest } from '../../repository/linked-manifest.ts'
import { ContentManifest } from '../../repository/manifest.ts'
import type { OperationContext } from '../context.ts'
import { type Findings, isFinding } from './findings.ts'
import type { WorkItem } from './plan-work.ts'

type InspectContext = Pick<OperationContext, 'storage' | 'codec' | 'signal'>

/** A backup as its documents tell it. Null: the document is not there, or cannot be read (then there is a finding). */
export interface InspectedBackup {
  readonly backup: ChainBackup
  readonly manifest: ContentManifest | null
  readonly files: FilesMetadata | null
  readonly parts: readonly WorkItem[]
}

const MISSING_SHOWN_MAX = 5

/** Reads every document of a backup and holds them, and the listing of its parts, against each other. */
export async function inspectBackup(
  context: InspectContext,
  backup: ChainBackup,
  findings: Findings,
): Promise<InspectedBackup> {
  const { name, document } = backup
  const attempt = async <T>(read: () => Promise<T>): Promise<T | null> => {
    try {
      return await read()
    } catch (error) {
      if (!isFinding(error)) throw error
      findings.error(name, keyOf(error), error.message)
      return null
    }
  }
  await attempt(() => readMetadata(context.storage, name, context))
  const files = await attempt(() => readFilesMetadata(context.storage, name, document, context))
  const manifest = await attempt(() => readManifestOf(context, backup))
  const parts = await listParts(context, name)
  checkParts(backup, parts, manifest, files, findings)
  return { backup, manifest, files, parts }
}

async function readManifestOf(
  { storage, codec, signal }: InspectContext,
  { name, document }: ChainBackup,
): Promise<ContentManifest | null> {
  const link = document.sentinel.contentManifest
  if (link === null) return null
  let manifest: ContentManifest | null = null
  await readLinkedManifest({ storage, codec, backup: name, link, signal }, header => {
    manifest = new ContentManifest(header)
    return manifest
  })
  return manifest
}

async function listParts({ storage, signal }: InspectContext, name: BackupName): Promise<WorkItem[]> {
  const parts: WorkItem[] = []
  for await (const entry of storage.list(partsPrefix(name), { signal })) {
    if (entry.kind !== 'object') continue
    const { key, sizeBytes, modifiedNs } = entry
    parts.push({ kind: 'part', key, sizeBytes, modifiedNs, backups: [name] })
  }
  return parts.sort((left, right) => (left.key < right.key ? -1 : 1))
}

/** Names and sizes only: whether the parts hold what they should is seen when they are read. */
function checkParts(
  { name, document }: ChainBackup,
  parts: readonly WorkItem[],
  manifest: ContentManifest | null,
  files: FilesMetadata | null,
  findings: Findings,
): void {
  const prefix = partsPrefix(name)
  const sizes = new Map(parts.map(({ key, sizeBytes }) => [key.slice(prefix.length + 1), sizeBytes]))
  for (const part of sizes.keys()) {
    if (partExtension(part) === undefined) {
      findings.error(
        name,
        `${prefix}/${part}`,
        'is no part: the original cannot restore a backup that has it',
      )
    } else if (manifest !== null && manifest.object(`${PARTS_FOLDER}/${part}`) === undefined) {
      findings.warning(
        name,
        `${prefix}/${part}`,
        'is in no content manifest: it does not belong to the backup',
      )
    }
  }
  const wanted = new Set(files?.partNames() ?? [])
  for (const { key, sizeBytes } of manifest?.objects() ?? []) {
    if (!key.startsWith(`${PARTS_FOLDER}/`)) continue
    const part = key.slice(PARTS_FOLDER.length + 1)
    wanted.add(part)
    const found = sizes.get(part)
    if (found !== undefined && found !== sizeBytes) {
      findings.error(name, `${backupPrefix(name)}/${key}`, `has ${found} bytes instead of ${sizeBytes}`)
    }
  }
  for (const part of wanted) {
    if (!sizes.has(part)) findings.error(name, `${prefix}/${part}`, 'is missing')
  }
  if (name.startsWith('base_') && ![...sizes.keys()].some(isPgControlPart)) {
    findings.error(name, null, 'has no part with pg_control')
  }
  if (document.sentinel.lsn === null || document.sentinel.finishLsn === null) {
    findings.error(name, null, 'its sentinel does not say which WAL it needs')
  }
}

/**
 * What a delta takes from its parent must be there. `parent` null: its list of files is not known, and everything of it
 * is taken.
 */
export function checkAgainstParent(
  { backup, files }: InspectedBackup,
  parent: InspectedBackup,
  findings: Findings,
): void {
  if (backup.document.sentinel.delta === null || files === null || parent.files === null) return
  const missing: string[] = []
  for (const index of files.indexes()) {
    if (!files.isSkipped(index) && !files.isIncremented(index)) continue
    const name = files.name(index)
    if (parent.files.find(name) < 0) missing.push(name)
  }
  if (missing.length === 0) return
  const shown = missing.slice(0, MISSING_SHOWN_MAX).map(name => `"${name}"`)
  const more = missing.length > MISSING_SHOWN_MAX ? ` and ${missing.length - MISSING_SHOWN_MAX} more` : ''
  const message = `builds on files that ${parent.backup.name} does not have: ${shown.join(', ')}${more}`
  findings.error(backup.name, null, message)
}

/** The WAL of a directory at rest travels inside its backup; it is read with the part that holds it. */
export function carriesSegment({ files }: InspectedBackup, segment: string): boolean {
  return files !== null && files.find(`/pg_wal/${segment}`) >= 0
}

function keyOf({ facts }: WalgError): string | null {
  const { key } = facts
  return typeof key === 'string' ? key : null
}
