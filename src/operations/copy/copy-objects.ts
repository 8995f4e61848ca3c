import type { ByteStream } from '../../kit/bytes.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { CopiedObject } from './plan-copy.ts'

/** Objects under way at a time. */
const COPIES_AT_ONCE = 8

export interface CopyOptions {
  readonly signal: AbortSignal
  /** After each object, with the bytes that went. */
  readonly onCopied: (object: CopiedObject) => void
  /** How one object goes; default: byte for byte. */
  readonly copyOne?: (object: CopiedObject) => Promise<void>
}

/** Copies objects side by side; the first failure ends it when those under way have settled, and is thrown. */
export async function copyObjects(
  source: Storage,
  target: Storage,
  objects: readonly CopiedObject[],
  options: CopyOptions,
): Promise<void> {
  const { signal, onCopied } = options
  const copyOne = options.copyOne ?? (object => copyBytes(source, target, object, signal))
  let next = 0
  let hasFailed = false
  const workers = Array.from({ length: Math.min(COPIES_AT_ONCE, objects.length) }, async () => {
    while (next < objects.length && !hasFailed) {
      throwIfCancelled(signal)
      const object = objects[next]!
      next += 1
      try {
        await copyOne(object)
      } catch (error) {
        hasFailed = true
        throw error
      }
      onCopied(object)
    }
  })
  const results = await Promise.allSettled(workers)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** One object, whole or not at all: a source that delivers another count of bytes than it listed is an error. */
export async function copyBytes(
  source: Storage,
  target: Storage,
  { key, sizeBytes }: CopiedObject,
  signal: AbortSignal,
): Promise<void> {
  const body = await source.get(key, { signal })
  const counted = exactly(body, key, source.name, sizeBytes)
  await target.put(key, counted, { signal, expectedSizeBytes: sizeBytes })
}

async function* exactly(
  body: ByteStream,
  key: string,
  storage: string,
  sizeBytes: number,
): AsyncGenerator<Uint8Array> {
  let count = 0
  for await (const chunk of body) {
    count += chunk.length
    yield chunk
  }
  if (count === sizeBytes) return
  throw new WalgError('FORMAT_TRUNCATED', `"${key}" was listed with ${sizeBytes} bytes, but ${count} came`, {
    facts: { key, storage, sizeBytes, count },
    hint: 'it changed while it was copied, or the storage cut it short; run the command again',
  })
}
