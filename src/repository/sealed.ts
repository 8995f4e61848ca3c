import type { Codec } from '../codec/codec.ts'
import { EXTENSIONS_BY_LOOKUP_ORDER, type ExtensionLookup } from '../codec/extensions.ts'
import { type ByteStream, collect } from '../kit/bytes.ts'
import { hasCode, isDamage, WalgError } from '../kit/errors.ts'
import type { Abortable, ObjectInfo, Storage } from '../storage/storage.ts'
import { withExtension } from './layout.ts'

/** Where a payload lies and how it is compressed. */
export interface FoundPayload {
  readonly key: string
  /** For `codec.open`: `lz4`, …; `''` for the bare and the dangling-dot form. */
  readonly extension: string
  readonly info: ObjectInfo
}

export interface FindOptions extends Abortable {
  /** The extension to try first (own setting, or the one that hit last time). */
  readonly firstExtension?: string
  /** Forms that are passed over. */
  readonly without?: ReadonlySet<string>
}

/**
 * Finds `name` whatever its compression, in the original's lookup order, one `stat` per candidate (those after
 * the first at once where each is a round trip); null when no form exists (ask `storage.checkRoot` before calling that a positive "not there").
 */
export async function findPayload(
  storage: Storage,
  name: string,
  options: FindOptions = {},
): Promise<FoundPayload | null> {
  const find = async ({ suffix, extension }: ExtensionLookup): Promise<FoundPayload | null> => {
    const key = name + suffix
    try {
      return { key, extension, info: await storage.stat(key, abortable(options)) }
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
      return null
    }
  }
  const [first, ...others] = candidates(options.firstExtension).filter(
    ({ suffix }) => options.without?.has(name + suffix) !== true,
  )
  if (first === undefined) return null
  const found = await find(first)
  if (found !== null) return found
  if (storage.features.isRemote === true) {
    const all = await Promise.all(others.map(find))
    return all.find(each => each !== null) ?? null
  }
  for (const other of others) {
    const hit = await find(other)
    if (hit !== null) return hit
  }
  return null
}

/** The lookup order with the forms of one extension moved to the front; for `''` the bare form is the first. */
function candidates(firstExtension: string | undefined): readonly ExtensionLookup[] {
  if (firstExtension === undefined) return EXTENSIONS_BY_LOOKUP_ORDER
  const isFirst = (lookup: ExtensionLookup): boolean =>
    lookup.extension === firstExtension && lookup.suffix !== '.'
  return [
    ...EXTENSIONS_BY_LOOKUP_ORDER.filter(isFirst),
    ...EXTENSIONS_BY_LOOKUP_ORDER.filter(lookup => !isFirst(lookup)),
  ]
}

/** Finds and opens; the stream is decrypted and decompressed, its errors name the key. Throws OBJECT_NOT_FOUND. */
export async function openPayload(
  storage: Storage,
  codec: Codec,
  name: string,
  options: FindOptions = {},
): Promise<ByteStream> {
  const found = await findPayload(storage, name, options)
  if (found === null) {
    throw new WalgError('OBJECT_NOT_FOUND', `object "${name}" is not in storage "${storage.name}"`, {
      facts: { key: name, storage: storage.name },
    })
  }
  return openFound(storage, codec, found, options)
}

/** Opens a payload that was found. */
export async function openFound(
  storage: Storage,
  codec: Codec,
  found: Pick<FoundPayload, 'key' | 'extension'>,
  options: Abortable = {},
): Promise<ByteStream> {
  const stored = await storage.get(found.key, abortable(options))
  return named(codec.openStream(found.extension)(stored), found.key)
}

/** The whole payload; FORMAT_INVALID beyond `limitBytes`. */
export async function readPayload(
  storage: Storage,
  codec: Codec,
  name: string,
  limitBytes: number,
  options: FindOptions = {},
): Promise<Uint8Array> {
  try {
    return await collect(await openPayload(storage, codec, name, options), limitBytes)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new WalgError('FORMAT_INVALID', `"${name}" holds more than ${limitBytes} bytes`, { cause: error })
  }
}

/** Seals `body` and puts it as `name` with the codec's extension; returns the key. */
export async function putSealed(
  storage: Storage,
  codec: Codec,
  name: string,
  body: ByteStream,
  options: Abortable = {},
): Promise<string> {
  const key = withExtension(name, codec.extension)
  await storage.put(key, codec.sealStream('wal')(body), abortable(options))
  return key
}

/** Damage found while reading is reported with the name of the object. */
async function* named(stream: ByteStream, key: string): AsyncGenerator<Uint8Array> {
  try {
    yield* stream
  } catch (error) {
    if (!isDamage(error) || error.message.includes(key)) throw error
    throw new WalgError(error.code, `"${key}": ${error.message}`, {
      facts: { ...error.facts, key },
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }
}

function abortable(options: Abortable): Abortable {
  return options.signal === undefined ? {} : { signal: options.signal }
}
