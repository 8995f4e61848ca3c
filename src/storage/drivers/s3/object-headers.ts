import { createHash } from 'node:crypto'
import type { S3Description } from './description.ts'

/** Classes from which an object must be restored before it can be read. */
const ARCHIVE_CLASSES = ['GLACIER', 'DEEP_ARCHIVE']
const TAR_PART = /(?:^|\/)tar_partitions\/[^/]+\.tar(?:\.[^/]+)?$/

/**
 * The class of a new object: archive classes for tar files of backups only. Everything else (sentinels, metadata, WAL)
 * is read by the next backup, listing or recovery and must be there at once.
 */
export function storageClassOf(description: S3Description, key: string): string {
  const { storageClass } = description
  return ARCHIVE_CLASSES.includes(storageClass) && !TAR_PART.test(key) ? 'STANDARD' : storageClass
}

/** What makes a new object what it shall be: of PUT, of the beginning of a multipart upload, and of a copy. */
export function newObjectHeaders(description: S3Description, key: string): Record<string, string> {
  const { encryption, retention } = description
  const headers: Record<string, string> = { 'x-amz-storage-class': storageClassOf(description, key) }
  if (encryption?.kind === 'SSE-S3' || encryption?.kind === 'SSE-KMS') {
    headers['x-amz-server-side-encryption'] = encryption.algorithm
  }
  if (encryption?.kind === 'SSE-KMS') {
    headers['x-amz-server-side-encryption-aws-kms-key-id'] = encryption.keyId
  }
  if (retention !== undefined) {
    const until = new Date(Date.now() + retention.periodS * 1000)
    headers['x-amz-object-lock-mode'] = retention.mode
    headers['x-amz-object-lock-retain-until-date'] = until.toISOString()
  }
  return { ...headers, ...customerKeyHeaders(description) }
}

/** The customer's key, which every request for bytes or properties of an object carries. */
export function customerKeyHeaders({ encryption }: S3Description): Record<string, string> {
  if (encryption?.kind !== 'SSE-C') return {}
  return {
    'x-amz-server-side-encryption-customer-algorithm': encryption.algorithm,
    'x-amz-server-side-encryption-customer-key': encryption.key,
    'x-amz-server-side-encryption-customer-key-md5': encryption.keyMd5,
  }
}

/** The same for the source of a copy. */
export function copySourceKeyHeaders({ encryption }: S3Description): Record<string, string> {
  if (encryption?.kind !== 'SSE-C') return {}
  return {
    'x-amz-copy-source-server-side-encryption-customer-algorithm': encryption.algorithm,
    'x-amz-copy-source-server-side-encryption-customer-key': encryption.key,
    'x-amz-copy-source-server-side-encryption-customer-key-md5': encryption.keyMd5,
  }
}

/** Content-MD5 where the store demands it: with an object lock. */
export function bodyHeaders(
  { retention }: S3Description,
  body: readonly Uint8Array[],
): Record<string, string> {
  return retention === undefined ? {} : { 'content-md5': md5Of(body) }
}

export function md5Of(body: readonly Uint8Array[]): string {
  const hash = createHash('md5')
  for (const block of body) hash.update(block)
  return hash.digest('base64')
}
