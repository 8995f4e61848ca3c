import { createHash, randomBytes } from 'node:crypto'
import type { BlockBlobClient } from '@azure/storage-blob'
import { hasCode } from '../../../kit/errors.ts'
import type { BlockUpload } from '../../requests/block-sink.ts'

export interface AzureUploadOptions {
  readonly blob: BlockBlobClient
  readonly ifAbsent: boolean
  /** Repeats what can be repeated, and translates errors. */
  request<T>(doing: string, run: (signal: AbortSignal) => Promise<T>, bodyBytes?: number): Promise<T>
}

/** Marks who made a conditional put: lower case, the service's own rule. */
const TOKEN_NAME = 'walgput'

/**
 * One PUT for a small object, staged blocks and one block list for a large one. Staged blocks are not visible; what is
 * abandoned is collected by the service after a week.
 */
export class AzureUpload implements BlockUpload {
  readonly #options: AzureUploadOptions
  readonly #token: Uint8Array = randomBytes(16)
  readonly #conditions: { readonly conditions?: { readonly ifNoneMatch: string } }

  constructor(options: AzureUploadOptions) {
    this.#options = options
    this.#conditions = options.ifAbsent ? { conditions: { ifNoneMatch: '*' } } : {}
  }

  async putWhole(bytes: Uint8Array): Promise<void> {
    const { blob } = this.#options
    const md5 = createHash('md5').update(bytes).digest()
    const token = Buffer.from(this.#token).toString('hex')
    const given = {
      ...this.#conditions,
      blobHTTPHeaders: { blobContentMD5: md5 },
      ...(this.#options.ifAbsent ? { metadata: { [TOKEN_NAME]: token } } : {}),
    }
    await this.#visible(
      abortSignal => blob.upload(body(bytes), bytes.length, { abortSignal, ...given }),
      async abortSignal => {
        const { metadata } = await blob.getProperties({ abortSignal })
        return metadata?.[TOKEN_NAME] === token
      },
      bytes.length,
    )
  }

  async putBlock(index: number, bytes: Uint8Array): Promise<void> {
    const { blob, request } = this.#options
    await request(
      'put a block of',
      abortSignal => blob.stageBlock(this.#blockId(index), body(bytes), bytes.length, { abortSignal }),
      bytes.length,
    )
  }

  async finish(index: number, bytes: Uint8Array): Promise<void> {
    await this.putBlock(index, bytes)
    const { blob } = this.#options
    const ids = Array.from({ length: index + 1 }, (_, n) => this.#blockId(n))
    await this.#visible(
      abortSignal => blob.commitBlockList(ids, { abortSignal, ...this.#conditions }),
      async abortSignal => {
        const { committedBlocks } = await blob.getBlockList('committed', { abortSignal })
        return committedBlocks?.at(-1)?.name === ids.at(-1)
      },
    )
  }

  async discard(): Promise<void> {}

  /**
   * The request that makes the object visible. "It exists" may mean ourselves: the answer to an earlier try was lost
   * after it had done its work, and the request was sent again, here or by the runtime on a connection that broke.
   */
  async #visible(
    run: (signal: AbortSignal) => Promise<unknown>,
    isOurs: (signal: AbortSignal) => Promise<boolean>,
    bodyBytes = 0,
  ) {
    const { request, ifAbsent } = this.#options
    try {
      await request('put', run, bodyBytes)
    } catch (error) {
      if (!ifAbsent || !hasCode(error, 'OBJECT_EXISTS')) throw error
      if (!(await request('look at', isOurs))) throw error
    }
  }

  /**
   * The form of the original, 64 bytes: 16 of one object, its number, zeros. All blocks of a blob must have names of one
   * length, and an interrupted upload of the original may have left some.
   */
  #blockId(index: number): string {
    const id = Buffer.alloc(64)
    id.set(this.#token)
    id.writeUInt32BE(index, 16)
    return id.toString('base64')
  }
}

/** A view for the client, which takes buffers as they are. */
function body(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
