import { hostname } from 'node:os'
import { type Awaitable, streamOf } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { HASH_ALGORITHM } from '../../kit/hash.ts'
import { ceilToMicroseconds, nowNs, type Timestamp } from '../../kit/timestamp.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import type { FilesMetadataSource } from '../../repository/files-metadata.ts'
import { encodeFilesMetadata } from '../../repository/files-metadata-document.ts'
import {
  contentManifestKey,
  filesMetadataKey,
  metadataKey,
  partKey,
  partsPrefix,
  sentinelKey,
} from '../../repository/layout.ts'
import type { ManifestSource } from '../../repository/manifest.ts'
import { encodeContentManifest } from '../../repository/manifest-document.ts'
import { formatMetadata } from '../../repository/metadata.ts'
import { type ContentManifestLink, formatSentinel } from '../../repository/sentinel.ts'
import type { TablespaceSpec } from '../../repository/tablespace-spec.ts'
import { copiesOf } from '../../storage/layers/copies.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import type { Tentative } from './claim-name.ts'
import type { BackupIdentity } from './contents.ts'
import type { BackupPushOptions } from './options.ts'
import type { StoredPart } from './part/part.ts'
import { putMeasured } from './small-parts.ts'

/** What the documents of a backup say. */
export interface FinishedBackup {
  readonly identity: BackupIdentity
  readonly startLsn: Lsn
  readonly finishLsn: Lsn
  readonly startTime: Timestamp
  readonly versionNumber: number
  readonly systemIdentifier: bigint
  /** PGDATA of the server. */
  readonly dataDirectory: string
  /** 0: not known. */
  readonly catalogBytes: number
  readonly spec: TablespaceSpec | null
  /** All of them, as they were put. */
  readonly parts: readonly StoredPart[]
  /** Null: sum of the members of the parts. */
  readonly uncompressedBytes: number | null
  readonly files: FilesMetadataSource
  readonly manifest: ManifestSource
  /** Throws when what the backup hangs on is not there any more. */
  readonly assertParent: () => Promise<void>
}

/** What the person asked for, as far as the documents say it. */
export type CommitOptions = Pick<BackupPushOptions, 'isPermanent' | 'userData' | 'hasFilesMetadata'>

export interface BackupSizes {
  readonly uncompressedBytes: number
  readonly compressedBytes: number
}

/** Writes the documents of a backup, the sentinel last: from then on it exists. */
export async function commitBackup(
  context: OperationContext,
  options: CommitOptions,
  backup: FinishedBackup,
  tentative: Tentative,
): Promise<BackupSizes> {
  const { log, storage, signal } = context
  const { name, delta, catchupFromLsn } = backup.identity
  const put = (key: string, text: string): Promise<void> =>
    storage.put(key, streamOf(new TextEncoder().encode(text)), { signal })
  const facts = factsOf(options, backup)
  const hasNoList = !options.hasFilesMetadata
  if (hasNoList) log.info('Files metadata tracking is disabled, will not upload the files_metadata.json')
  const contentManifest = await putContentManifest(context, backup)
  await allSettledOrThrow([
    put(metadataKey(name), formatMetadata({ ...facts, startLsn: backup.startLsn })),
    hasNoList
      ? undefined
      : storage.put(filesMetadataKey(name), encodeFilesMetadata(backup.files), { signal }),
  ])
  const sentinel = formatSentinel({
    ...facts,
    lsn: backup.startLsn,
    delta,
    ...(catchupFromLsn === undefined ? {} : { catchupFromLsn }),
    dataCatalogSizeBytes: backup.catalogBytes,
    spec: backup.spec,
    isFilesMetadataDisabled: hasNoList,
    version: 2,
    contentManifest,
  })
  await assertAllStored(context, backup)
  await backup.assertParent()
  tentative.sentinel = sentinel
  await put(sentinelKey(name), sentinel)
  await assertAllStored(context, backup)
  await backup.assertParent()
  return {
    uncompressedBytes: facts.uncompressedSizeBytes,
    compressedBytes: facts.compressedSizeBytes,
  }
}

/** Like `Promise.all`, but nothing is under way any more when it throws: what was put can be taken back. */
async function allSettledOrThrow<T extends readonly unknown[]>(
  works: readonly [...{ [K in keyof T]: Awaitable<T[K]> }],
): Promise<T> {
  const outcomes = await Promise.allSettled(works)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return outcomes.map(outcome => (outcome as PromiseFulfilledResult<unknown>).value) as unknown as T
}

async function putContentManifest(
  context: OperationContext,
  { identity, manifest }: FinishedBackup,
): Promise<ContentManifestLink> {
  const { name, parentHash } = identity
  const key = contentManifestKey(name, context.codec.extension)
  const lines = encodeContentManifest(manifest)
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
async function assertAllStored(context: OperationContext, backup: FinishedBackup): Promise<void> {
  const { storage } = context
  for (const copy of copiesOf(storage)) {
    const lacking = await findLacking(context, copy, backup)
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
  { identity, parts }: FinishedBackup,
): Promise<string | undefined> {
  const sizes = new Map<string, number>()
  for await (const entry of storage.list(partsPrefix(identity.name), { signal })) {
    if (entry.kind === 'object') sizes.set(entry.key, entry.sizeBytes)
  }
  return parts
    .map(({ name, storedBytes }) => ({ key: partKey(identity.name, name), storedBytes }))
    .find(({ key, storedBytes }) => sizes.get(key) !== storedBytes)?.key
}

function factsOf(options: CommitOptions, backup: FinishedBackup) {
  const { parts } = backup
  return {
    startTime: backup.startTime,
    finishTime: ceilToMicroseconds(nowNs()),
    hostname: hostname(),
    dataDirectory: backup.dataDirectory,
    pgVersion: backup.versionNumber,
    finishLsn: backup.finishLsn,
    isPermanent: options.isPermanent,
    systemIdentifier: backup.systemIdentifier,
    uncompressedSizeBytes:
      backup.uncompressedBytes ?? parts.reduce((sum, part) => sum + part.contentBytes, 0),
    compressedSizeBytes: parts.reduce((sum, part) => sum + part.storedBytes, 0),
    userData: options.userData,
  }
}
