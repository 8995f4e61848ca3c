import type { Codec, CodecDescription } from '../../codec/codec.ts'
import { EXTENSIONS_BY_LOOKUP_ORDER, splitExtension } from '../../codec/extensions.ts'
import { openCodec } from '../../codec/open-codec.ts'
import type { ByteStream } from '../../kit/bytes.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import { withExtension } from '../../repository/layout.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'

export interface OpenObjectOptions extends Abortable {
  readonly isDecrypted: boolean
  readonly isDecompressed: boolean
  readonly codec: CodecDescription
  readonly log: Logger
}

/** An object as it is stored, or opened as far as asked for. Throws OBJECT_NOT_FOUND before the first byte. */
export async function openObject(
  storage: Storage,
  key: string,
  options: OpenObjectOptions,
): Promise<ByteStream> {
  const { isDecrypted, isDecompressed, codec, log } = options
  const extension = isDecompressed ? compressionOf(key, log) : ''
  const body = await storage.get(key, abortable(options))
  const isSealed = isDecrypted && codec.encryption !== undefined
  if (extension === '' && !isSealed) return body
  return codecOf(codec, { isEncrypted: isSealed, isCompressed: true }).openStream(extension)(body)
}

/** The extension that tells how an object is compressed; `''` with a WARNING for one that says nothing of it. */
function compressionOf(key: string, log: Logger): string {
  const { extension } = splitExtension(key)
  const name = key.slice(key.lastIndexOf('/') + 1)
  if (extension === undefined && name.includes('.')) {
    const known = [...new Set(EXTENSIONS_BY_LOOKUP_ORDER.map(({ compression }) => compression))].sort()
    log.warning(
      `decompressor for extension '${name.slice(name.lastIndexOf('.'))}' was not found (supported methods: [${known.join(' ')}]), will download uncompressed`,
    )
  }
  return extension ?? ''
}

export interface PutObjectOptions extends Abortable {
  readonly isEncrypted: boolean
  readonly isCompressed: boolean
  /** Replaces an object that is there. */
  readonly isForced: boolean
  readonly codec: CodecDescription
}

/** Stores `body` as `name`, with the extension of its compression; returns the key. Throws OBJECT_EXISTS. */
export async function putObject(
  storage: Storage,
  name: string,
  body: ByteStream,
  options: PutObjectOptions,
): Promise<string> {
  const codec = codecOf(options.codec, options)
  const key = withExtension(name, codec.extension)
  const compressed = withExtension(name, openCodec(options.codec).extension)
  if (!options.isForced) {
    // Plain and compressed form stand for the same file: readers would find one or the other.
    for (const taken of new Set([compressed, key])) await refuseExisting(storage, taken, options)
  }
  await storage.put(key, codec.sealStream('part')(body), abortable(options))
  return key
}

async function refuseExisting(storage: Storage, key: string, options: Abortable): Promise<void> {
  try {
    await storage.stat(key, abortable(options))
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return
    throw error
  }
  throw new WalgError(
    'OBJECT_EXISTS',
    `check file overwrite: object ${key} already exists. To overwrite it, add the -f flag`,
    { facts: { key, storage: storage.name } },
  )
}

function codecOf(
  { encryption, ...description }: CodecDescription,
  { isEncrypted, isCompressed }: { readonly isEncrypted: boolean; readonly isCompressed: boolean },
): Codec {
  return openCodec({
    ...(isCompressed ? description : { compression: 'none' }),
    ...(isEncrypted && encryption !== undefined ? { encryption } : {}),
  })
}

function abortable({ signal }: Abortable): Abortable {
  return signal === undefined ? {} : { signal }
}
