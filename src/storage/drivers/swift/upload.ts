import { createHash, randomBytes } from 'node:crypto'
import type { BlockUpload } from '../../requests/block-sink.ts'
import type { HttpRequest } from '../../requests/http.ts'
import { segmentsFolder } from './segments.ts'

/** The most segments of a manifest, in a cluster as it is shipped; more go through manifests of manifests. */
const MANIFEST_SEGMENTS_MAX = 1000

export interface SwiftUploadOptions {
  readonly container: string
  /** Name of the object in its container. */
  readonly name: string
  /** Sends until it succeeds or fails for good; `name` is that of an object in the container. */
  send(doing: string, name: string, request: SwiftPut): Promise<void>
  /** Deletes objects of the container; missing ones are fine. */
  remove(names: readonly string[]): Promise<void>
}

export interface SwiftPut extends Pick<HttpRequest, 'body'> {
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: string
}

interface Segment {
  readonly path: string
  readonly etag: string
  readonly size_bytes: number
}

/** A plain object when it fits into one segment, else segments and their manifest: a static large object. */
export class SwiftUpload implements BlockUpload {
  readonly #options: SwiftUploadOptions
  readonly #folder: string
  readonly #segments: Segment[] = []
  readonly #manifests: string[] = []

  constructor(options: SwiftUploadOptions) {
    this.#options = options
    this.#folder = segmentsFolder(options.name, randomBytes(8).toString('hex'))
  }

  async putWhole(bytes: Uint8Array): Promise<void> {
    await this.#options.send('put', this.#options.name, { body: bytes, headers: { etag: md5(bytes) } })
  }

  async putBlock(index: number, bytes: Uint8Array): Promise<void> {
    const name = `${this.#folder}${String(index).padStart(8, '0')}`
    const etag = md5(bytes)
    this.#segments[index] = { path: `/${this.#options.container}/${name}`, etag, size_bytes: bytes.length }
    await this.#options.send('put a segment of', name, { body: bytes, headers: { etag } })
  }

  /** The manifest makes the object visible; the cluster compares every segment with it first. */
  async finish(index: number, bytes: Uint8Array): Promise<void> {
    await this.putBlock(index, bytes)
    const segments = await this.#gathered()
    await this.#putManifest(this.#options.name, segments)
  }

  async #gathered(): Promise<readonly object[]> {
    if (this.#segments.length <= MANIFEST_SEGMENTS_MAX) return this.#segments
    const manifests: object[] = []
    for (let at = 0; at < this.#segments.length; at += MANIFEST_SEGMENTS_MAX) {
      const name = `${this.#folder}manifest-${String(at).padStart(8, '0')}`
      this.#manifests.push(name)
      await this.#putManifest(name, this.#segments.slice(at, at + MANIFEST_SEGMENTS_MAX))
      manifests.push({ path: `/${this.#options.container}/${name}` })
    }
    return manifests
  }

  #putManifest(name: string, segments: readonly object[]): Promise<void> {
    return this.#options.send('put the manifest of', name, {
      body: JSON.stringify(segments),
      query: 'multipart-manifest=put',
      headers: { 'content-type': 'application/octet-stream' },
    })
  }

  async discard(): Promise<void> {
    const skip = `/${this.#options.container}/`.length
    const names = this.#segments.flatMap(segment => segment?.path.slice(skip) ?? [])
    if (names.length > 0) await this.#options.remove([...this.#manifests, ...names])
  }
}

function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex')
}
