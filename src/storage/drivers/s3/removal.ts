import { throwIfCancelled } from '../../../kit/clock.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { Abortable } from '../../storage.ts'
import { md5Of } from './object-headers.ts'
import type { S3Requests } from './requests.ts'
import { childrenOf, escapeXml, textOf } from './xml.ts'

/** A version of an object; without `versionId` the object itself, of which a versioned bucket keeps the bytes. */
export interface RemovalTarget {
  /** The whole key in the bucket. */
  readonly key: string
  readonly versionId?: string
}

const BATCHES_AT_ONCE = 4
const SINGLE_DELETES_AT_ONCE = 16

/**
 * Deletes many objects by requests that name up to `deleteBatchMax` of them. Every such request carries Content-MD5,
 * which some stores demand and none minds; a store that knows no such request gets one for each object.
 */
export async function removeObjects(
  requests: S3Requests,
  targets: readonly RemovalTarget[],
  options: Abortable,
): Promise<void> {
  const { deleteBatchMax } = requests.description
  const batches: RemovalTarget[][] = []
  for (let at = 0; at < targets.length; at += deleteBatchMax) {
    batches.push(targets.slice(at, at + deleteBatchMax))
  }
  await eachAtOnce(batches, BATCHES_AT_ONCE, async batch => {
    throwIfCancelled(options.signal)
    await removeBatch(requests, batch, options)
    options.onProgress?.()
  })
}

async function removeBatch(
  requests: S3Requests,
  batch: readonly RemovalTarget[],
  options: Abortable,
): Promise<void> {
  if (batch.length === 1) return removeOne(requests, batch[0]!, options)
  const objects = batch.map(({ key, versionId }) => {
    const version = versionId === undefined ? '' : `<VersionId>${escapeXml(versionId)}</VersionId>`
    return `<Object><Key>${escapeXml(key)}</Key>${version}</Object>`
  })
  const body = [
    Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>${objects.join('')}</Delete>`,
    ),
  ]
  try {
    const answer = await requests.sendForXml(
      {
        method: 'POST',
        key: '',
        query: { delete: '' },
        headers: { 'content-md5': md5Of(body), 'content-type': 'application/xml' },
        body,
        doing: 'delete from',
        signal: options.signal,
        onProgress: options.onProgress,
      },
      'DeleteResult',
    )
    const failures = childrenOf(answer, 'Error').filter(error => textOf(error, 'Code') !== 'NoSuchKey')
    if (failures.length > 0) throw failureOf(requests, failures.length, failures[0]!)
  } catch (error) {
    if (!isUnknownRequest(error)) throw error
    await eachAtOnce(batch, SINGLE_DELETES_AT_ONCE, target => removeOne(requests, target, options))
  }
}

async function removeOne(requests: S3Requests, target: RemovalTarget, options: Abortable): Promise<void> {
  throwIfCancelled(options.signal)
  try {
    await requests.sendOnly({
      method: 'DELETE',
      key: target.key,
      ...(target.versionId === undefined ? {} : { query: { versionId: target.versionId } }),
      doing: 'delete',
      signal: options.signal,
      onProgress: options.onProgress,
    })
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
  }
}

function isUnknownRequest(error: unknown): boolean {
  if (!(error instanceof WalgError)) return false
  return error.facts['status'] === 501 || error.facts['status'] === 405
}

function failureOf(requests: S3Requests, count: number, first: Parameters<typeof textOf>[0]): WalgError {
  const key = textOf(first, 'Key') ?? ''
  const code = textOf(first, 'Code') ?? ''
  const more = count === 1 ? '' : ` (and ${count - 1} more)`
  const isDenied = code === 'AccessDenied'
  return new WalgError(
    isDenied ? 'ACCESS_DENIED' : 'STORAGE_UNAVAILABLE',
    `unable to delete "${key}"${more} from bucket "${requests.description.bucket}": ${textOf(first, 'Message') ?? code} (${code})`,
    {
      facts: { key, s3Code: code, count },
      ...(isDenied ? { hint: 'the object may be locked, or the permission s3:DeleteObject is missing' } : {}),
    },
  )
}

async function eachAtOnce<T>(
  items: readonly T[],
  atOnce: number,
  act: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  const run = async (): Promise<void> => {
    while (next < items.length) await act(items[next++]!)
  }
  const runs = Array.from({ length: Math.min(atOnce, items.length) }, run)
  const results = await Promise.allSettled(runs)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
