import { hostname } from 'node:os'
import { type Awaitable, type ByteStream, streamOf } from '../../kit/bytes.ts'
import { HASH_ALGORITHM, openHasher } from '../../kit/hash.ts'
import { ceilToMicroseconds, nowNs, type Timestamp } from '../../kit/timestamp.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import type { FilesMetadataSource } from '../../repository/files-metadata.ts'
import { encodeFilesMetadata } from '../../repository/files-metadata-document.ts'
import {
  contentManifestKey,
  filesMetadataKey,
  metadataKey,
  partKey,
  sentinelKey,
} from '../../repository/layout.ts'
import type { ManifestSource } from '../../repository/manifest.ts'
import { encodeContentManifest } from '../../repository/manifest-document.ts'
import { formatMetadata } from '../../repository/metadata.ts'
import { type ContentManifestLink, formatSentinel } from '../../repository/sentinel.ts'
import type { TablespaceSpec } from '../../repository/tablespace-spec.ts'
import type { OperationContext } from '../context.ts'
import type { Tentative } from './claim-name.ts'
import type { BackupIdentity } from './contents.ts'
import type { BackupPushOptions } from './options.ts'
import type { PushContext } from './own-objects.ts'
import { asAnotherPush, assertFree, modifiedNsOf, NEW, openNewObject } from './part/new-object.ts'
import { meterSink, type StoredPart, traitsOf } from './part/part.ts'
import { putMeasured } from './small-parts.ts'
import { assertAllStored, type StoredObject } from './stored-check.ts'

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
  const { log } = context
  const pushing: PushContext = { ...context, own: tentative.own }
  const { name, delta, catchupFromLsn } = backup.identity
  const facts = factsOf(options, backup)
  const hasNoList = !options.hasFilesMetadata
  if (hasNoList) log.info('Files metadata tracking is disabled, will not upload the files_metadata.json')
  const manifestKey = contentManifestKey(name, context.codec.extension)
  const manifest = await putMeasured(pushing, manifestKey, encodeContentManifest(backup.manifest))
  const metadata = formatMetadata({ ...facts, startLsn: backup.startLsn })
  const documents = await allSettledOrThrow([
    putDocument(pushing, metadataKey(name), streamOf(new TextEncoder().encode(metadata))),
    hasNoList ? undefined : putDocument(pushing, filesMetadataKey(name), encodeFilesMetadata(backup.files)),
  ])
  const objects: StoredObject[] = [
    ...backup.parts.map(part => ({ key: partKey(name, part.name), ...traitsOf(part) })),
    { key: manifestKey, ...traitsOf(manifest) },
    ...documents.filter(document => document !== undefined),
  ]
  const sentinel = formatSentinel({
    ...facts,
    lsn: backup.startLsn,
    delta,
    ...(catchupFromLsn === undefined ? {} : { catchupFromLsn }),
    dataCatalogSizeBytes: backup.catalogBytes,
    spec: backup.spec,
    isFilesMetadataDisabled: hasNoList,
    version: 2,
    contentManifest: linkTo(context, backup, manifest),
  })
  await assertAllStored(context, name, objects, 'before the sentinel')
  await backup.assertParent()
  await putSentinel(context, name, sentinel, tentative)
  await assertAllStored(context, name, objects, 'after the sentinel')
  await backup.assertParent()
  return {
    uncompressedBytes: facts.uncompressedSizeBytes,
    compressedBytes: facts.compressedSizeBytes,
  }
}

/** A document that is stored as it stands. */
async function putDocument(
  { storage, signal, own }: PushContext,
  key: string,
  body: ByteStream,
): Promise<StoredObject> {
  own.begun(key)
  const hasher = openHasher()
  const sink = await openNewObject(storage, key, { signal })
  try {
    const measured = meterSink(sink, hasher)
    for await (const bytes of body) await measured.write(bytes)
    await measured.end()
    const traits = { sizeBytes: measured.bytes(), hash: hasher.digest() }
    own.stored(key, { ...traits, modifiedNs: await modifiedNsOf(storage, key) })
    return { key, ...traits }
  } catch (error) {
    await sink.abort()
    throw error
  } finally {
    hasher.close()
  }
}

async function putSentinel(
  { storage, signal }: OperationContext,
  name: BackupName,
  sentinel: string,
  tentative: Tentative,
): Promise<void> {
  const key = sentinelKey(name)
  await assertFree(storage, key, { signal })
  tentative.sentinel = sentinel
  const body = streamOf(new TextEncoder().encode(sentinel))
  const putting = storage.features.conditionalPut ? { signal, ...NEW } : { signal }
  await asAnotherPush(storage, key, () => storage.put(key, body, putting))
}

/** Like `Promise.all`, but nothing is under way any more when it throws: what was put can be taken back. */
async function allSettledOrThrow<T extends readonly unknown[]>(
  works: readonly [...{ [K in keyof T]: Awaitable<T[K]> }],
): Promise<T> {
  const outcomes = await Promise.allSettled(works)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return outcomes.map(outcome => (outcome as PromiseFulfilledResult<unknown>).value) as unknown as T
}

function linkTo(
  { codecDescription }: OperationContext,
  { identity: { parentHash } }: FinishedBackup,
  { name, storedBytes, storedHash }: StoredPart,
): ContentManifestLink {
  const link = {
    object: name,
    sizeBytes: storedBytes,
    hash: `${HASH_ALGORITHM}:${storedHash}`,
    ...(parentHash === undefined ? {} : { parentHash }),
  }
  const sealedWith = codecDescription.encryption?.write
  if (sealedWith === undefined) return link
  return { ...link, encryption: { method: sealedWith.method, key: sealedWith.keyId } }
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
