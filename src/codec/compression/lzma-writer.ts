import type { Transform } from 'node:stream'
import * as lzma from 'lzma-native'
import type { ByteSink } from '../../kit/bytes.ts'
import { assert } from '../../kit/errors.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockWriter, CompressionOptions } from '../codec.ts'

const BLOCK_BYTES = 256 << 10

/**
 * Opens a compressor with the original's header (lc 3, lp 0, pb 2, dictionary 8 MiB, unknown size, end mark).
 * The search is the fastest that stores no more than the original: docs/decisions/lzma.md.
 */
export function openLzmaWriter(
  sink: ByteSink,
  memory: LinearMemory,
  options: CompressionOptions,
): BlockWriter {
  const stream = lzma.createStream('aloneEncoder', {
    dictSize: 8 << 20,
    lc: 3,
    lp: 0,
    pb: 2,
    mode: lzma.MODE_FAST,
    mf: lzma.MF_HC4,
    niceLen: options.use === 'wal' ? 48 : 128,
    depth: 12,
  })
  return new LzmaWriter(stream, sink, memory)
}

/** The package works on its own threads: input is copied, output is handed on when a block is through. */
class LzmaWriter implements BlockWriter {
  readonly base: number
  readonly capacityBytes = BLOCK_BYTES
  readonly #stream: Transform
  readonly #sink: ByteSink
  readonly #memory: LinearMemory
  #ready: Uint8Array[] = []
  #failure: Error | undefined
  #isOpen = true

  constructor(stream: Transform, sink: ByteSink, memory: LinearMemory) {
    this.#stream = stream
    this.#sink = sink
    this.#memory = memory
    this.base = memory.allocate(BLOCK_BYTES)
    stream.on('data', (bytes: Uint8Array) => this.#ready.push(bytes))
    stream.on('error', (error: Error) => {
      this.#failure = error
    })
  }

  get memory(): Uint8Array {
    return this.#memory.bytes
  }

  async flush(count: number): Promise<void> {
    assert(this.#isOpen && count <= BLOCK_BYTES, 'an open writer takes blocks up to its capacity')
    if (count === 0) return
    const bytes = Buffer.from(this.#memory.bytes.subarray(this.base, this.base + count))
    await new Promise<void>((resolve, reject) => {
      this.#stream.once('error', reject)
      this.#stream.write(bytes, error => {
        this.#stream.off('error', reject)
        if (error == null) resolve()
        else reject(error)
      })
    })
    await this.#handOn()
  }

  async end(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.once('error', reject)
      this.#stream.once('end', resolve)
      this.#stream.end()
    })
    await this.#handOn()
    this.close()
    await this.#sink.end()
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#memory.release(this.base, BLOCK_BYTES)
    this.#stream.destroy()
    this.#ready = []
  }

  async #handOn(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const ready = this.#ready
    this.#ready = []
    for (const bytes of ready) await this.#sink.write(bytes)
  }
}
