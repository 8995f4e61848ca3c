import type { Codec } from '../../codec/codec.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import type { Hasher } from '../../kit/hash.ts'
import type { Storage } from '../../storage/storage.ts'

/** What one reader needs to read one object after the other. */
export interface ReadLane {
  readonly storage: Storage
  readonly codec: Codec
  /** Of stored bytes. */
  readonly objectHasher: Hasher
  /** Of the content of members. */
  readonly contentHasher: Hasher
  readonly signal: AbortSignal
  /** Stored bytes as they come. */
  readonly onRead: (bytes: number) => void
}

export interface StoredFacts {
  readonly sizeBytes: number
  /** XXH3-128 of the stored bytes. */
  readonly hash: string
}

/** Reads a stored object to its verified end: every decrypted and decompressed block goes to `take`. */
export async function readStored(
  lane: ReadLane,
  key: string,
  extension: string,
  take: (block: Uint8Array) => void,
): Promise<StoredFacts> {
  const { storage, codec, objectHasher, signal } = lane
  const source = await storage.openSource(key, { signal })
  let sizeBytes = 0
  objectHasher.reset()
  const count = (into: Uint8Array, bytes: number): number => {
    sizeBytes += bytes
    if (bytes > 0) objectHasher.update(into.subarray(0, bytes))
    lane.onRead(bytes)
    return bytes
  }
  const counted = {
    read: (into: Uint8Array) => {
      const read = source.read(into)
      return read instanceof Promise ? read.then(bytes => count(into, bytes)) : count(into, read)
    },
    close: () => source.close(),
  }
  const reader = await codec.open(counted, extension)
  try {
    for (;;) {
      throwIfCancelled(signal)
      const next = reader.next()
      const block = next instanceof Promise ? await next : next
      if (block === null) break
      take(block)
    }
  } finally {
    await reader.close()
  }
  return { sizeBytes, hash: objectHasher.digest() }
}
