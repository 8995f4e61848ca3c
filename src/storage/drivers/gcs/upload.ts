import { createHash, randomBytes } from 'node:crypto'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { BlockUpload } from '../../requests/block-sink.ts'
import { patientRequest } from '../../requests/patient-request.ts'
import type { GcsClient, GcsRequest } from './client.ts'

export interface GcsUploadOptions {
  readonly client: GcsClient
  /** As the caller names it, and as the bucket does. */
  readonly key: string
  readonly name: string
  readonly ifAbsent: boolean
  readonly signal: AbortSignal | undefined
}

interface StoredResource {
  readonly size?: string
}

/** Marks who made a conditional put. */
const TOKEN_NAME = 'walgput'

/**
 * One request for a small object, with its MD5, which the service compares before the object is visible. A resumable
 * upload for a large one: chunk after chunk, visible with the last; what of a chunk arrived is asked for after trouble.
 */
export class GcsUpload implements BlockUpload {
  readonly #options: GcsUploadOptions
  #session: string | undefined
  #sentBytes = 0

  constructor(options: GcsUploadOptions) {
    this.#options = options
  }

  async putWhole(bytes: Uint8Array): Promise<void> {
    const { client, name, ifAbsent, signal } = this.#options
    const md5Hash = createHash('md5').update(bytes).digest('base64')
    const boundary = randomBytes(16).toString('hex')
    const token = randomBytes(16).toString('hex')
    const resource = { name, md5Hash, ...(ifAbsent ? { metadata: { [TOKEN_NAME]: token } } : {}) }
    const request = {
      ...this.#begin('multipart'),
      headers: { 'content-type': `multipart/related; boundary=${boundary}`, ...client.keyHeaders },
      body: joinParts(boundary, resource, bytes),
    }
    try {
      await client.ask(request, signal)
    } catch (error) {
      if (!ifAbsent || !hasCode(error, 'OBJECT_EXISTS') || !(await this.#isOurs(token))) throw error
    }
  }

  /**
   * "It exists" may mean ourselves: the answer to an earlier try was lost after it had done its work, and the request was
   * sent again, here or by the runtime on a connection that broke.
   */
  async #isOurs(token: string): Promise<boolean> {
    const { client, key, name, signal } = this.#options
    const path = `/storage/v1${client.bucketPath}/o/${encodeURIComponent(name)}`
    const request: GcsRequest = { method: 'GET', path, query: { fields: 'metadata' }, doing: 'look at', key }
    const found = await client.ask<{ metadata?: Record<string, string> }>(request, signal)
    return found.metadata?.[TOKEN_NAME] === token
  }

  async putBlock(_index: number, bytes: Uint8Array): Promise<void> {
    await this.#sendChunk(bytes, false)
  }

  async finish(_index: number, bytes: Uint8Array): Promise<void> {
    const stored = await this.#sendChunk(bytes, true)
    if (stored.size === String(this.#sentBytes)) return
    const { key, client } = this.#options
    throw new WalgError(
      'CHECKSUM_MISMATCH',
      `object "${key}" in storage "${client.place.name}" was stored with ${stored.size} bytes instead of ${this.#sentBytes}`,
      { facts: { key, storage: client.place.name } },
    )
  }

  async discard(): Promise<void> {
    const { client, key } = this.#options
    if (this.#session === undefined) return
    const request: GcsRequest = {
      method: 'DELETE',
      path: this.#session,
      doing: 'abandon',
      key,
      alsoFine: [499, 404, 410],
    }
    await client.send(request, AbortSignal.timeout(DISCARD_MS_MAX))
  }

  #begin(uploadType: string): GcsRequest {
    const { client, key, name, ifAbsent } = this.#options
    return {
      method: 'POST',
      path: `/upload/storage/v1${client.bucketPath}/o`,
      query: {
        uploadType,
        fields: 'size',
        ...(uploadType === 'resumable' ? { name } : {}),
        ifGenerationMatch: ifAbsent ? '0' : undefined,
      },
      doing: 'put',
      key,
    }
  }

  async #openSession(): Promise<string> {
    const { client, key, signal } = this.#options
    const request = { ...this.#begin('resumable'), headers: client.keyHeaders, body: '' }
    return patientRequest(
      async bounded => {
        const response = await client.send(request, bounded)
        await response.arrayBuffer()
        const session = response.headers.get('location')
        if (session !== null) return session
        throw new WalgError(
          'STORAGE_UNAVAILABLE',
          `no upload was begun for object "${key}": the answer names no session`,
        )
      },
      client.patience,
      signal,
    )
  }

  /** Sends a chunk until the service has all of it. The answer to the last one is the stored object. */
  async #sendChunk(bytes: Uint8Array, isLast: boolean): Promise<StoredResource> {
    const { client, signal } = this.#options
    this.#session ??= await this.#openSession()
    const beginBytes = this.#sentBytes
    const endBytes = beginBytes + bytes.length
    let keptBytes = beginBytes
    let stored: StoredResource | undefined
    while (stored === undefined && (keptBytes < endBytes || isLast)) {
      const before = keptBytes
      const answer = await patientRequest(
        (bounded, attempt) =>
          // after trouble: how far did it get?
          attempt > 1
            ? this.#exchange(`bytes */${isLast ? endBytes : '*'}`, '', bounded)
            : this.#exchange(
                `bytes ${keptBytes}-${endBytes - 1}/${isLast ? endBytes : '*'}`,
                bytes.subarray(keptBytes - beginBytes),
                bounded,
              ),
        client.patience,
        signal,
        bytes.length,
      )
      if (!('keptBytes' in answer)) stored = answer
      else if (answer.keptBytes < before || answer.keptBytes > endBytes)
        throw this.#outOfStep(answer.keptBytes)
      else keptBytes = answer.keptBytes
      this.#fruitless = keptBytes > before ? 0 : this.#fruitless + 1
      if (stored === undefined && this.#fruitless > CHUNK_TRIES_WITHOUT_A_BYTE_MAX)
        throw this.#outOfStep(keptBytes)
    }
    this.#sentBytes = endBytes
    return stored ?? {}
  }

  #fruitless = 0

  async #exchange(
    contentRange: string,
    body: Uint8Array | string,
    signal: AbortSignal,
  ): Promise<StoredResource | { readonly keptBytes: number }> {
    const { client, key } = this.#options
    const request: GcsRequest = {
      method: 'PUT',
      path: this.#session ?? '',
      headers: { 'content-range': contentRange },
      body,
      doing: 'put',
      key,
      alsoFine: [308],
    }
    const response = await client.send(request, signal)
    if (response.status !== 308) return client.readJson<StoredResource>(response, request, signal)
    await response.arrayBuffer()
    const last = /^bytes=0-(\d+)$/.exec(response.headers.get('range') ?? '')?.[1]
    return { keptBytes: last === undefined ? 0 : Number(last) + 1 }
  }

  #outOfStep(keptBytes: number): WalgError {
    const { key, client } = this.#options
    return new WalgError(
      'STORAGE_UNAVAILABLE',
      `unable to put object "${key}" in storage "${client.place.name}": the upload does not get beyond byte ${keptBytes}`,
      { facts: { key, storage: client.place.name, keptBytes }, hint: 'run the command again' },
    )
  }
}

/** In a row, each of them patient by itself. */
const CHUNK_TRIES_WITHOUT_A_BYTE_MAX = 8
const DISCARD_MS_MAX = 5000

function joinParts(boundary: string, resource: object, bytes: Uint8Array): Uint8Array {
  const head = `--${boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)])
}
