/**
 * Bytes on the move between rooms. Pulled by the consumer; a thrown error travels with it; stopping early
 * runs the producer's `finally`. Chunks are at most 4 MiB and LENT until the next pull: who keeps bytes,
 * copies them.
 */
export type ByteStream = AsyncIterable<Uint8Array>
export type ByteTransform = (source: ByteStream) => ByteStream

/** Result of a step that is synchronous on the fast path: `await` it only when it is a promise. */
export type Awaitable<T> = T | Promise<T>

/**
 * The push side inside the hot row (a part's worker, one WAL segment). `bytes` are lent until `write`
 * returns or, when it returns a promise, until that settles. At most one call is under way at a time.
 */
export interface ByteSink {
  write(bytes: Uint8Array): Awaitable<void>
  /** No more bytes. Everything written has been handed on. Called once. */
  end(): Awaitable<void>
}

/** The pull side inside the hot row. */
export interface ByteSource {
  /** Fills `into` from its start; returns the count of bytes (at least 1), or 0 at the end. */
  read(into: Uint8Array): Awaitable<number>
  /** Releases what is held; idempotent; legal at any time. */
  close(): Awaitable<void>
}

/** Copies `bytes` into a stream of one chunk. */
export async function* streamOf(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) if (chunk.length > 0) yield chunk
}

/** Reads a whole stream into memory; throws RangeError beyond `limitBytes`, so that no caller is unbounded. */
export async function collect(source: ByteStream, limitBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > limitBytes) throw new RangeError(`more than ${limitBytes} bytes`)
    // not slice(): of a Buffer that is a view, and the chunk is only lent
    chunks.push(new Uint8Array(chunk))
  }
  return concatBytes(chunks, size)
}

/** Joins chunks into one array. */
export function concatBytes(chunks: readonly Uint8Array[], sizeBytes?: number): Uint8Array {
  const size = sizeBytes ?? chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const whole = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

/** Adapts a source of the hot row to a stream; the chunk is reused, as the contract of ByteStream allows. */
export async function* streamFromSource(
  source: ByteSource,
  chunkBytes: number = 1 << 18,
): AsyncGenerator<Uint8Array> {
  const chunk = new Uint8Array(chunkBytes)
  try {
    for (;;) {
      const count = await source.read(chunk)
      if (count === 0) return
      yield chunk.subarray(0, count)
    }
  } finally {
    await source.close()
  }
}

/** Adapts a stream to a source of the hot row. */
export function sourceFromStream(stream: ByteStream): ByteSource {
  const iterator = stream[Symbol.asyncIterator]()
  let rest: Uint8Array = new Uint8Array(0)
  let isDone = false
  return {
    async read(into: Uint8Array): Promise<number> {
      while (rest.length === 0) {
        if (isDone) return 0
        const next = await iterator.next()
        if (next.done === true) {
          isDone = true
          return 0
        }
        rest = next.value
      }
      const count = Math.min(rest.length, into.length)
      into.set(rest.subarray(0, count))
      rest = rest.subarray(count)
      return count
    },
    async close(): Promise<void> {
      isDone = true
      rest = new Uint8Array(0)
      await iterator.return?.()
    },
  }
}

const zeroes = Buffer.alloc(65_536)

/** Whether up to 64 KiB of `bytes` are nothing but zeros. Makes no views: a relation has a page for every 8 KiB. */
export function isZero(bytes: Uint8Array, from: number = 0, to: number = bytes.length): boolean {
  return zeroes.compare(bytes, from, to, 0, to - from) === 0
}
