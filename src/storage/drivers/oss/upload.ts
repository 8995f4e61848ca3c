import { hasCode } from '../../../kit/errors.ts'
import type { BlockUpload } from '../../requests/block-sink.ts'
import type { OssClient, OssRequest, OssWork } from './client.ts'

export interface OssUploadOptions {
  readonly client: OssClient
  readonly name: string
  readonly key: string
  readonly ifAbsent: boolean
  /** Repeats what can be repeated. */
  request<T>(run: (signal: AbortSignal) => Promise<T>, bodyBytes?: number): Promise<T>
}

const TOKEN_HEADER = 'x-oss-meta-wal-g-put'
const FORBID_OVERWRITE = { 'x-oss-forbid-overwrite': 'true' }

/** One PUT for a small object, a multipart upload for a large one, which is aborted when it fails. */
export class OssUpload implements BlockUpload {
  readonly #options: OssUploadOptions
  readonly #etags: string[] = []
  readonly #headers: Readonly<Record<string, string>>
  /** Stays with the object: so that it can be told from somebody else's. */
  readonly #token: string = crypto.randomUUID()
  #uploadId: Promise<string> | undefined

  constructor(options: OssUploadOptions) {
    this.#options = options
    this.#headers = {
      [TOKEN_HEADER]: this.#token,
      ...(options.ifAbsent ? FORBID_OVERWRITE : {}),
    }
  }

  async putWhole(bytes: Uint8Array): Promise<void> {
    await this.#visible('put', { method: 'PUT', headers: this.#headers, body: bytes })
  }

  async putBlock(index: number, bytes: Uint8Array): Promise<void> {
    this.#uploadId ??= this.#begin()
    const uploadId = await this.#uploadId
    const query = { partNumber: String(index + 1), uploadId }
    const headers = await this.#ask('put a part of', { method: 'PUT', query, body: bytes })
    this.#etags[index] = headers.get('etag') ?? ''
  }

  async finish(index: number, bytes: Uint8Array): Promise<void> {
    await this.putBlock(index, bytes)
    const uploadId = (await this.#uploadId) ?? ''
    const body = completionOf(this.#etags)
    const headers = this.#options.ifAbsent ? FORBID_OVERWRITE : {}
    await this.#visible('complete', { method: 'POST', query: { uploadId }, headers, body })
    this.#uploadId = undefined
  }

  async discard(): Promise<void> {
    const uploadId = await this.#uploadId?.catch(() => undefined)
    if (uploadId === undefined) return
    await this.#ask('abort', { method: 'DELETE', query: { uploadId } })
  }

  async #begin(): Promise<string> {
    const { client, name, request } = this.#options
    return request(async signal => {
      const work = this.#work('begin')
      const { text } = await client.ask(work, {
        method: 'POST',
        name,
        query: { uploads: '' },
        headers: this.#headers,
        signal,
      })
      return /<UploadId>([^<]+)<\/UploadId>/.exec(text)?.[1] ?? ''
    })
  }

  /**
   * The request that makes the object visible. "It exists" and "no such upload" may mean that it has done its work and
   * its answer was lost: then the object there is ours.
   */
  async #visible(doing: string, sent: Omit<OssRequest, 'signal' | 'name'>): Promise<void> {
    try {
      await this.#ask(doing, sent)
    } catch (error) {
      if (!hasCode(error, 'OBJECT_EXISTS', 'OBJECT_NOT_FOUND') || !(await this.#isOurs())) throw error
    }
  }

  async #isOurs(): Promise<boolean> {
    try {
      return (await this.#ask('look at', { method: 'HEAD' })).get(TOKEN_HEADER) === this.#token
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return false
      throw error
    }
  }

  async #ask(doing: string, sent: Omit<OssRequest, 'signal' | 'name'>): Promise<ReadonlyMap<string, string>> {
    const { client, name, request } = this.#options
    return request(
      async signal => (await client.ask(this.#work(doing), { ...sent, name, signal })).headers,
      sent.body?.length,
    )
  }

  #work(doing: string): OssWork {
    const { key } = this.#options
    return { doing: `${doing} object "${key}"`, key }
  }
}

/** The list of parts that makes an object. */
export function completionOf(etags: readonly string[]): string {
  const parts = etags.map((etag, n) => `<Part><PartNumber>${n + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
  return `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
}
