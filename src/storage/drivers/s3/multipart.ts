import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { HttpAnswer } from '../../http/client.ts'
import { NOT_OF_S3 } from './fault.ts'
import { bodyHeaders, customerKeyHeaders, newObjectHeaders } from './object-headers.ts'
import type { S3Requests } from './requests.ts'
import { escapeXml, textOf } from './xml.ts'

/** A part that the store has. */
export interface PartReceipt {
  readonly number: number
  readonly etag: string
}

/** Marks what one put has made, so that it can be told from what somebody else has. */
const MARK_HEADER = 'x-amz-meta-walg-put'
const PARTS_MAX = 10_000
const ABORT_TIMEOUT_MS = 10_000

export interface PutObject {
  readonly key: string
  readonly body: readonly Uint8Array[]
  readonly ifAbsent: boolean
  readonly signal: AbortSignal
  readonly onProgress?: (() => void) | undefined
}

/**
 * One PUT. It may be repeated: an answer that got lost after the object was stored means the same bytes once more, or,
 * with `ifAbsent`, an object that bears this put's own mark.
 */
export async function putObject(requests: S3Requests, put: PutObject): Promise<void> {
  const { key, body, signal, onProgress } = put
  const mark = crypto.randomUUID()
  const { description } = requests
  try {
    const answer = await requests.sendOnly({
      method: 'PUT',
      key,
      headers: {
        ...newObjectHeaders(description, key),
        ...bodyHeaders(description, body),
        ...(put.ifAbsent ? { 'if-none-match': '*', [MARK_HEADER]: mark } : {}),
      },
      body,
      doing: 'put',
      signal,
      onProgress,
    })
    // something in between may say 200, too
    etagOf(answer, `"${key}"`)
  } catch (error) {
    if (!put.ifAbsent || !hasCode(error, 'OBJECT_EXISTS')) throw error
    if (!(await isOwn(requests, key, mark, signal))) throw error
  }
}

/** What every store answers with that has taken something. */
function etagOf({ headers }: HttpAnswer, what: string): string {
  const etag = headers.get('etag')
  if (etag !== undefined) return etag
  throw new WalgError('STORAGE_UNAVAILABLE', `the store gave no ETag for ${what}`, {
    hint: NOT_OF_S3,
  })
}

/** Whether the object at `key` was made by the put with this mark; not as far as this user may see, where he may not look. */
async function isOwn(requests: S3Requests, key: string, mark: string, signal: AbortSignal): Promise<boolean> {
  const headers = customerKeyHeaders(requests.description)
  try {
    const answer = await requests.sendOnly({ method: 'HEAD', key, headers, doing: 'stat', signal })
    return answer.headers.get(MARK_HEADER) === mark
  } catch (error) {
    if (hasCode(error, 'ACCESS_DENIED')) return false
    throw error
  }
}

/** A multipart upload, begun at its first part. */
export class MultipartUpload {
  readonly #requests: S3Requests
  readonly #key: string
  readonly #signal: AbortSignal
  readonly #onProgress: (() => void) | undefined
  readonly #mark = crypto.randomUUID()
  #id: Promise<string> | undefined
  #isComplete = false

  constructor(
    requests: S3Requests,
    key: string,
    options: { readonly signal: AbortSignal; readonly onProgress?: (() => void) | undefined },
  ) {
    this.#requests = requests
    this.#key = key
    this.#signal = options.signal
    this.#onProgress = options.onProgress
  }

  async putPart(number: number, body: readonly Uint8Array[]): Promise<PartReceipt> {
    if (number > PARTS_MAX) {
      throw new WalgError('STORAGE_UNAVAILABLE', `"${this.#key}" is too large for S3`, {
        facts: { key: this.#key },
        hint: 'raise S3_MAX_PART_SIZE or lower WALG_TAR_SIZE_THRESHOLD',
      })
    }
    this.#id ??= this.#begin()
    const uploadId = await this.#id
    const { description } = this.#requests
    const answer = await this.#requests.sendOnly({
      method: 'PUT',
      key: this.#key,
      query: { partNumber: String(number), uploadId },
      headers: { ...customerKeyHeaders(description), ...bodyHeaders(description, body) },
      body,
      doing: `put part ${number} of`,
      signal: this.#signal,
      onProgress: this.#onProgress,
    })
    return { number, etag: etagOf(answer, `part ${number} of "${this.#key}"`) }
  }

  /** The object is there, whole, when this returns; an answer that got lost is looked up. */
  async complete(receipts: readonly PartReceipt[], ifAbsent: boolean): Promise<void> {
    const uploadId = await this.#id!
    const parts = [...receipts]
      .sort((a, b) => a.number - b.number)
      .map(
        ({ number, etag }) =>
          `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
      )
    const xml = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join('')}</CompleteMultipartUpload>`
    try {
      await this.#requests.sendForXml(
        {
          method: 'POST',
          key: this.#key,
          query: { uploadId },
          headers: {
            'content-type': 'application/xml',
            ...customerKeyHeaders(this.#requests.description),
            ...(ifAbsent ? { 'if-none-match': '*' } : {}),
          },
          body: [Buffer.from(xml)],
          doing: 'complete',
          signal: this.#signal,
          onProgress: this.#onProgress,
        },
        'CompleteMultipartUploadResult',
      )
    } catch (error) {
      // An upload that is gone although nobody aborted it has been completed by an attempt whose answer got lost.
      const isGone = hasCode(error, 'OBJECT_NOT_FOUND', 'OBJECT_EXISTS')
      if (!isGone || !(await isOwn(this.#requests, this.#key, this.#mark, this.#signal).catch(() => false)))
        throw error
    }
    this.#isComplete = true
  }

  /** Nothing of it remains at the store, as far as the store answers; never throws. `st gc-uploads` finds what is left. */
  async abort(): Promise<void> {
    const uploadId = await this.#id?.catch(() => undefined)
    if (uploadId === undefined || this.#isComplete) return
    try {
      await this.#requests.sendOnly({
        method: 'DELETE',
        key: this.#key,
        query: { uploadId },
        doing: 'abort the upload of',
        signal: AbortSignal.timeout(ABORT_TIMEOUT_MS),
      })
    } catch {
      // the failure that led here is the one to be told
    }
  }

  async #begin(): Promise<string> {
    const answer = await this.#requests.sendForXml(
      {
        method: 'POST',
        key: this.#key,
        query: { uploads: '' },
        headers: { ...newObjectHeaders(this.#requests.description, this.#key), [MARK_HEADER]: this.#mark },
        doing: 'begin the upload of',
        signal: this.#signal,
      },
      'InitiateMultipartUploadResult',
    )
    const id = textOf(answer, 'UploadId')
    if (id === undefined)
      throw new WalgError('STORAGE_UNAVAILABLE', `the store gave no UploadId for "${this.#key}"`)
    return id
  }
}
