import { notice } from '../../../kit/log.ts'
import { readText } from '../../http/body.ts'
import type { HttpClient } from '../../http/client.ts'
import type { S3EndpointSource } from './description.ts'

export interface S3Node {
  readonly host: string
  readonly port: number
  readonly protocol?: 'http' | 'https'
}

const NODE_BYTES_MAX = 4096
/** A node is used for so long before the source is asked again. */
const NODE_LIFE_MS = 5_000
const SOURCE_TIMEOUT_MS = 5_000

/** Asks S3_ENDPOINT_SOURCE which host to connect to; without an answer the usual endpoint is used, and that is said. */
export class NodeSource {
  readonly #source: S3EndpointSource
  readonly #client: HttpClient
  #known: { readonly node: S3Node | undefined; readonly untilMs: number } | undefined

  constructor(source: S3EndpointSource, client: HttpClient) {
    this.#source = source
    this.#client = client
  }

  async find(): Promise<S3Node | undefined> {
    if (this.#known !== undefined && this.#known.untilMs > performance.now()) return this.#known.node
    let node: S3Node | undefined
    try {
      node = await this.#ask()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      notice(`S3_ENDPOINT_SOURCE: ${reason}; the usual endpoint is used`)
    }
    this.#known = { node, untilMs: performance.now() + NODE_LIFE_MS }
    return node
  }

  async #ask(): Promise<S3Node> {
    const url = new URL(this.#source.url)
    const isTls = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port)
    const answer = await this.#client.request(
      { host, port, ...(isTls ? { tls: {} } : {}) },
      {
        method: 'GET',
        path: `${url.pathname}${url.search}`,
        headers: { host: url.host, connection: 'close' },
        signal: AbortSignal.timeout(SOURCE_TIMEOUT_MS),
      },
    )
    const text = (await readText(answer.body, NODE_BYTES_MAX)).trim()
    if (answer.status !== 200 || !/^[\w.:-]+$/.test(text)) {
      throw new Error(`the answer (HTTP ${answer.status}) is no host`)
    }
    const { port: nodePort, protocol } = this.#source
    return { host: text, port: nodePort, ...(protocol === undefined ? {} : { protocol }) }
  }
}
