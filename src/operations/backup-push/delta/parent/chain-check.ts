import { collect } from '../../../../kit/bytes.ts'
import { hasCode, WalgError } from '../../../../kit/errors.ts'
import { readFilesMetadata } from '../../../../repository/catalog.ts'
import type { ChainBackup } from '../../../../repository/chain.ts'
import {
  backupPrefix,
  FILES_METADATA_NAME,
  filesMetadataKey,
  PARTS_FOLDER,
} from '../../../../repository/layout.ts'
import { readLinkedManifest } from '../../../../repository/linked-manifest.ts'
import type { ManifestObject } from '../../../../repository/manifest.ts'
import { forEachOf } from '../../../../storage/requests/for-each-of.ts'
import type { OperationContext } from '../../../context.ts'
import { sizesBelow } from '../../own-objects.ts'
import { findMissingPart } from './parent-files.ts'

type CheckContext = Pick<OperationContext, 'storage' | 'signal' | 'codec'>

const BACKUPS_AT_ONCE = 4
/** A longer list is not read: it has over 8,000 files, and every backup of the chain has one. */
const LIST_BYTES_MAX = 1 << 20
/** Nor is a larger manifest. */
const MANIFEST_BYTES_MAX = 1 << 20
/** A copy that was encrypted anew may be a little smaller than its sentinel says. */
const STORED_SHARE_MIN = 0.9

/**
 * Looks whether these backups, which a new delta would build upon, are there as their documents say: one listing each, and those of
 * their documents that are not large. No part is read. Throws BACKUP_BROKEN: nothing should be built on them then.
 */
export async function checkChain(context: CheckContext, backups: readonly ChainBackup[]): Promise<void> {
  await forEachOf(backups, BACKUPS_AT_ONCE, backup => checkBackup(context, backup))
}

async function checkBackup(context: CheckContext, backup: ChainBackup): Promise<void> {
  const { storage, signal } = context
  const { name } = backup
  const prefix = `${backupPrefix(name)}/`
  const sizes = new Map<string, number>()
  for (const [key, sizeBytes] of await sizesBelow(storage, name, { signal })) {
    sizes.set(key.slice(prefix.length), sizeBytes)
  }
  checkDocuments(backup, sizes)
  if ((sizes.get(FILES_METADATA_NAME) ?? 0) <= LIST_BYTES_MAX) await checkList(context, backup, sizes)
  const objects = await readObjects(context, backup)
  checkParts(backup, sizes, objects)
}

/** `sizes` of all objects of the backup, by their key within it. */
function checkDocuments(backup: ChainBackup, sizes: ReadonlyMap<string, number>): void {
  const { sentinel, inlineFiles } = backup.document
  const { contentManifest, version, delta, isFilesMetadataDisabled } = sentinel
  if (contentManifest !== null && sizes.get(contentManifest.object) !== contentManifest.sizeBytes) {
    throw broken(backup, contentManifest.object, 'is missing or cut')
  }
  const isOptional = inlineFiles !== null || isFilesMetadataDisabled || (version < 2 && delta === null)
  if ((sizes.get(FILES_METADATA_NAME) ?? (isOptional ? 1 : 0)) === 0) {
    throw broken(backup, FILES_METADATA_NAME, 'is missing or empty')
  }
}

/** `objects` as the manifest has them; where that is not known, the sum in the sentinel tells something. */
function checkParts(
  backup: ChainBackup,
  sizes: ReadonlyMap<string, number>,
  objects: readonly ManifestObject[] | undefined,
): void {
  for (const { key, sizeBytes } of objects ?? []) {
    if (sizes.get(key) !== sizeBytes) throw broken(backup, key, 'is missing or cut')
  }
  if (objects !== undefined) return
  let storedBytes = 0
  for (const [key, sizeBytes] of sizes) {
    if (!key.startsWith(keyOf(''))) continue
    if (sizeBytes === 0) throw broken(backup, key, 'is empty')
    storedBytes += sizeBytes
  }
  const { compressedSizeBytes } = backup.document.sentinel
  // the original does not count all that it has put
  if (storedBytes === 0 || storedBytes < compressedSizeBytes * STORED_SHARE_MIN) {
    throw broken(backup, PARTS_FOLDER, `holds ${storedBytes} bytes, not ${compressedSizeBytes}`)
  }
}

/** With a content manifest the sizes of the parts are known without the list, which need only be readable. */
async function checkList(
  { storage, signal }: CheckContext,
  backup: ChainBackup,
  sizes: ReadonlyMap<string, number>,
): Promise<void> {
  const { name, document } = backup
  if (document.sentinel.contentManifest === null) {
    const files = await readFilesMetadata(storage, name, document, { signal })
    const missing = files === null ? undefined : findMissingPart(files, part => sizes.has(keyOf(part)))
    if (missing !== undefined) throw broken(backup, keyOf(missing), 'is missing')
  } else if (!document.sentinel.isFilesMetadataDisabled) {
    const bytes = await collect(await storage.get(filesMetadataKey(name), { signal }), LIST_BYTES_MAX)
    if (!isJson(bytes)) throw broken(backup, FILES_METADATA_NAME, 'is damaged')
  }
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return true
  } catch {
    return false
  }
}

/** Undefined without a manifest, for a large one, and where its key is not configured here. */
async function readObjects(
  { storage, codec, signal }: CheckContext,
  backup: ChainBackup,
): Promise<readonly ManifestObject[] | undefined> {
  const link = backup.document.sentinel.contentManifest
  if (link === null || link.sizeBytes > MANIFEST_BYTES_MAX) return undefined
  const objects: ManifestObject[] = []
  const sink = { takeObject: (object: ManifestObject) => void objects.push(object), takeFile() {} }
  try {
    await readLinkedManifest({ storage, codec, backup: backup.name, link, signal }, () => sink)
    return objects
  } catch (error) {
    if (hasCode(error, 'DECRYPT_FAILED')) return undefined
    throw error
  }
}

function keyOf(part: string): string {
  return `${PARTS_FOLDER}/${part}`
}

function broken({ name }: ChainBackup, key: string, what: string): WalgError {
  return new WalgError('BACKUP_BROKEN', `"${key}" of ${name}, which it builds upon, ${what}`, {
    facts: { backup: name, key },
  })
}
