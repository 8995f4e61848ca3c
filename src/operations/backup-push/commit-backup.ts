import { hostname } from 'node:os'
import { streamOf } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { HASH_ALGORITHM } from '../../kit/hash.ts'
import { ceilToMicroseconds, nowNs, type Timestamp } from '../../kit/timestamp.ts'
import { encodeFilesMetadata } from '../../repository/files-metadata-document.ts'
import {
  contentManifestKey,
  filesMetadataKey,
  metadataKey,
  partKey,
  partsPrefix,
  sentinelKey,
} from '../../repository/layout.ts'
import { encodeContentManifest } from '../../repository/manifest-document.ts'
import { formatMetadata } from '../../repository/metadata.ts'
import { type ContentManifestLink, formatSentinel } from '../../repository/sentinel.ts'
import { copiesOf } from '../../storage/layers/copies.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import { contentManifestOf, filesMetadataOf, type PackedContents } from './backup-record.ts'
import type { Tentative } from './claim-name.ts'
import type { Contents } from './contents.ts'
import type { BackupPushOptions } from './options.ts'
import { putMeasured } from './small-parts.ts'
import type { BackupSource, SourceStop } from './source/backup-source.ts'

export interface FinishedBackup {
  readonly source: BackupSource
  readonly contents: Contents
  readonly packed: PackedContents
  readonly stop: SourceStop
  readonly startTime: Timestamp
  /** JSON text of `DatabasesByNames`, or null. */
  readonly databases: string | null
  /** Throws when what the backup hangs on is not there any more. */
  readonly assertParent: () => Promise<void>
}

export interface BackupSizes {
  readonly uncompressedBytes: number
  readonly compressedBytes: number
}

/** Writes the documents of a backup, the sentinel last: from then on it exists. */
export async function commitBackup(
  context: OperationContext,
  options: BackupPushOptions,
  backup: FinishedBackup,
  tentative: Tentative,
): Promise<BackupSizes> {
  const { log, storage, signal } = context
  const { name, delta } = backup.contents.identity
  const put = (key: string, text: string): Promise<void> =>
    storage.put(key, streamOf(new TextEncoder().encode(text)), { signal })
  const facts = factsOf(options, backup)
  await put(metadataKey(name), formatMetadata({ ...facts, startLsn: backup.source.startLsn }))
  if (options.hasFilesMetadata) {
    const files = filesMetadataOf(backup.packed, backup.databases)
    await storage.put(filesMetadataKey(name), encodeFilesMetadata(files), { signal })
  } else {
    log.info('Files metadata tracking is disabled, will not upload the files_metadata.json')
  }
  const contentManifest = await putContentManifest(context, backup.packed)
  const sentinel = formatSentinel({
    ...facts,
    lsn: backup.source.startLsn,
    delta,
    dataCatalogSizeBytes: backup.contents.catalogBytes,
    spec: backup.contents.spec,
    isFilesMetadataDisabled: !options.hasFilesMetadata,
    version: 2,
    contentManifest,
  })
  await assertAllStored(context, backup.packed)
  await backup.assertParent()
  tentative.sentinel = sentinel
  await put(sentinelKey(name), sentinel)
  await assertAllStored(context, backup.packed)
  await backup.assertParent()
  return {
    uncompressedBytes: facts.uncompressedSizeBytes,
    compressedBytes: facts.compressedSizeBytes,
  }
}

async function putContentManifest(
  context: OperationContext,
  packed: PackedContents,
): Promise<ContentManifestLink> {
  const { name, parentHash } = packed.identity
  const key = contentManifestKey(name, context.codec.extension)
  const lines = encodeContentManifest(contentManifestOf(packed))
  const { sizeBytes, hash } = await putMeasured(context, key, lines)
  const link = {
    object: key.slice(key.lastIndexOf('/') + 1),
    sizeBytes,
    hash: `${HASH_ALGORITHM}:${hash}`,
    ...(parentHash === undefined ? {} : { parentHash }),
  }
  const sealedWith = context.codecDescription.encryption?.write
  if (sealedWith === undefined) return link
  return { ...link, encryption: { method: sealedWith.method, key: sealedWith.keyId } }
}

/**
 * Every part must still be there as it was put, before the sentinel speaks of it and after: a push of the same name from
 * another host (a primary and its standby can begin in the same segment) takes them for leftovers. Throws INTEGRITY.
 */
async function assertAllStored(context: OperationContext, packed: PackedContents): Promise<void> {
  const { storage } = context
  for (const copy of copiesOf(storage)) {
    const lacking = await findLacking(context, copy, packed)
    if (lacking === undefined) continue
    const error = new WalgError(
      'INTEGRITY',
      `"${lacking}" is not in the storage any more as it was put there`,
      {
        facts: { key: lacking, storage: copy.name },
        hint: 'is another push of the same cluster, from another host, running into this repository? one at a time',
      },
    )
    if (storage.copies?.giveUp(copy, error) !== true) throw error
    storage.copies.noteGaps(lacking)
  }
}

async function findLacking(
  { signal }: OperationContext,
  storage: Storage,
  packed: PackedContents,
): Promise<string | undefined> {
  const sizes = new Map<string, number>()
  for await (const entry of storage.list(partsPrefix(packed.identity.name), { signal })) {
    if (entry.kind === 'object') sizes.set(entry.key, entry.sizeBytes)
  }
  return [...packed.parts, ...packed.smallParts]
    .map(({ name, storedBytes }) => ({ key: partKey(packed.identity.name, name), storedBytes }))
    .find(({ key, storedBytes }) => sizes.get(key) !== storedBytes)?.key
}

function factsOf(options: BackupPushOptions, backup: FinishedBackup) {
  const { source, stop, packed, contents } = backup
  const parts = [...packed.parts, ...packed.smallParts]
  return {
    startTime: backup.startTime,
    finishTime: ceilToMicroseconds(nowNs()),
    hostname: hostname(),
    dataDirectory: contents.root,
    pgVersion: source.versionNumber,
    finishLsn: stop.finishLsn,
    isPermanent: options.isPermanent,
    systemIdentifier: source.systemIdentifier,
    uncompressedSizeBytes: parts.reduce((sum, part) => sum + part.contentBytes, 0),
    compressedSizeBytes: parts.reduce((sum, part) => sum + part.storedBytes, 0),
    userData: options.userData,
  }
}
