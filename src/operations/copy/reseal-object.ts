import type { CodecDescription } from '../../codec/codec.ts'
import { splitExtension } from '../../codec/extensions.ts'
import { openCodec } from '../../codec/open-codec.ts'
import type { ByteStream } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { HASH_ALGORITHM, type Hasher, openHasher } from '../../kit/hash.ts'
import { withExtension } from '../../repository/layout.ts'
import type { Storage } from '../../storage/storage.ts'

/** Where objects come from and go to, and what they are opened and sealed with. */
export interface Resealing {
  readonly source: Storage
  readonly target: Storage
  readonly sourceCodec: CodecDescription
  readonly targetCodec: CodecDescription
  readonly signal: AbortSignal
}

/** Size and hash of the bytes that were stored. */
export interface StoredBytes {
  readonly sizeBytes: number
  /** Lower-case hex of `HASH_ALGORITHM`. */
  readonly hash: string
}

/** The key of an object when it is sealed by the target: its extension is that of the target's compression. */
export function resealedKey(key: string, targetCodec: CodecDescription): string {
  // A dangling dot (compression none of some versions) is no extension.
  const { name } = splitExtension(key)
  return withExtension(name.replace(/\.$/, ''), openCodec(targetCodec).extension)
}

export interface ResealOptions {
  /** What the stored bytes of the source must be, where it is known. */
  readonly expected?: StoredBytes | undefined
  /** Changes the opened content on its way. */
  readonly transform?: (content: ByteStream) => ByteStream
}

/** Opens an object and seals it anew; whole or not at all. Throws CHECKSUM_MISMATCH when the source is not what it should be. */
export async function resealObject(
  { source, target, sourceCodec, targetCodec, signal }: Resealing,
  key: string,
  newKey: string,
  { expected, transform = content => content }: ResealOptions = {},
): Promise<StoredBytes> {
  const { extension = '' } = splitExtension(key)
  const stored = observed(await source.get(key, { signal }))
  const opened = openCodec(sourceCodec).openStream(extension)(stored.stream)
  const checked = afterwards(transform(opened), () => stored.assert(key, expected))
  const sealed = observed(openCodec(targetCodec).sealStream('part')(checked))
  await target.put(newKey, sealed.stream, { signal })
  return sealed.result()
}

/** True when two objects, each opened with its own codec, have the same content. */
export async function isSameContent(resealing: Resealing, key: string, newKey: string): Promise<boolean> {
  const { source, target, sourceCodec, targetCodec, signal } = resealing
  const hashOf = async (storage: Storage, codec: CodecDescription, at: string): Promise<string> => {
    const { extension = '' } = splitExtension(at)
    const { stream, result } = observed(
      openCodec(codec).openStream(extension)(await storage.get(at, { signal })),
    )
    for await (const _ of stream) signal.throwIfAborted()
    return `${result().sizeBytes}:${result().hash}`
  }
  return (await hashOf(source, sourceCodec, key)) === (await hashOf(target, targetCodec, newKey))
}

interface Observed {
  readonly stream: ByteStream
  /** After the end of the stream. */
  result(): StoredBytes
  assert(key: string, expected: StoredBytes | undefined): void
}

function observed(body: ByteStream): Observed {
  const hasher: Hasher = openHasher()
  hasher.reset()
  let sizeBytes = 0
  let result: StoredBytes | undefined
  const digest = (): StoredBytes => (result ??= { sizeBytes, hash: hasher.digest() })
  return {
    stream: (async function* () {
      for await (const chunk of body) {
        sizeBytes += chunk.length
        hasher.update(chunk)
        yield chunk
      }
    })(),
    result: digest,
    assert(key, expected) {
      if (expected === undefined) return
      const { hash } = digest()
      if (sizeBytes === expected.sizeBytes && hash === expected.hash) return
      throw new WalgError(
        'CHECKSUM_MISMATCH',
        `"${key}" is not the object that belongs to its backup (${HASH_ALGORITHM})`,
        {
          facts: { key },
          hint: 'bring it from another copy of the repository first; nothing of this backup is visible',
        },
      )
    },
  }
}

async function* afterwards(body: ByteStream, check: () => void): AsyncGenerator<Uint8Array> {
  yield* body
  check()
}
