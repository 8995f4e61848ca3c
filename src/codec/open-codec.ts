import type { Awaitable, ByteSink, ByteSource, ByteStream, ByteTransform } from '../kit/bytes.ts'
import { sourceFromStream } from '../kit/bytes.ts'
import { WalgError } from '../kit/errors.ts'
import { createLinearMemory, type LinearMemory } from '../kit/linear-memory.ts'
import type {
  BlockReader,
  BlockWriter,
  Codec,
  CodecDescription,
  Compression,
  CompressionName,
  CompressionOptions,
  Encryption,
} from './codec.ts'
import { openLz4 } from './compression/lz4.ts'
import { openNone } from './compression/none.ts'
import type { EncryptionDescription } from './encryption/description.ts'
import { compressionByExtension, extensionOf } from './extensions.ts'

type OpenCompression = (memory: () => LinearMemory) => Compression

/** Every method. All but the two that cost nothing load with their first object: a process per WAL segment pays for what it loads. */
const COMPRESSIONS: Readonly<Record<CompressionName, OpenCompression>> = {
  lz4: openLz4,
  none: openNone,
  zstd: memory => ({
    ...loadedLater('zstd', true, async () => (await import('./compression/zstd.ts')).openZstd)(memory),
    sharing: 'threads',
  }),
  brotli: loadedLater('brotli', true, async () => (await import('./compression/brotli.ts')).openBrotli),
  lzma: loadedLater('lzma', true, async () => (await import('./compression/lzma.ts')).openLzma),
  gzip: loadedLater('gzip', false, async () => (await import('./compression/gzip.ts')).openGzip),
  lzo: loadedLater('lzo', false, async () => (await import('./compression/lzo.ts')).openLzo),
}

function loadedLater(
  name: CompressionName,
  isWritten: boolean,
  load: () => Promise<OpenCompression>,
): OpenCompression {
  return memory => {
    let loaded: Promise<Compression> | undefined
    const compression = (): Promise<Compression> => {
      loaded ??= load().then(open => open(memory))
      return loaded
    }
    const reading: Compression = {
      name,
      extension: extensionOf(name),
      openReader: async source => (await compression()).openReader(source),
    }
    if (!isWritten) return reading
    return {
      ...reading,
      openWriter: async (sink, options) => (await compression()).openWriter!(sink, options),
    }
  }
}

/** Loads with the first object, as the methods of encryption do. */
function encryptionOf(description: EncryptionDescription): Encryption {
  let loaded: Promise<Encryption> | undefined
  const encryption = (): Promise<Encryption> => {
    loaded ??= import('./encryption/encryption.ts').then(room => room.openEncryption(description))
    return loaded
  }
  return {
    name: description.write?.method ?? 'none',
    encrypt: async sink => (await encryption()).encrypt(sink),
    decrypt: async (source, extension) => (await encryption()).decrypt(source, extension),
  }
}

/** Opens one compression by name; `openCodec` is what operations use. */
export function openCompression(name: CompressionName, memory: () => LinearMemory): Compression {
  return COMPRESSIONS[name](memory)
}

/**
 * Opens the codec of a thread. Its blocks lie in `memory`, so that a hasher opened on the same memory works on
 * them in place; without one it makes its own. Nothing is loaded and no memory is touched before the first object.
 */
export function openCodec(description: CodecDescription, memory?: LinearMemory): Codec {
  let ownMemory = memory
  const memoryOf = (): LinearMemory => {
    ownMemory ??= createLinearMemory()
    return ownMemory
  }
  const opened = new Map<CompressionName, Compression>()
  const compressionOf = (name: CompressionName): Compression => {
    const compression = opened.get(name) ?? openCompression(name, memoryOf)
    opened.set(name, compression)
    return compression
  }
  const compression = compressionOf(description.compression)
  const encryption = description.encryption === undefined ? undefined : encryptionOf(description.encryption)
  const level = description.zstdLevel === undefined ? {} : { zstdLevel: description.zstdLevel }

  const codec: Codec = {
    compression,
    extension: compression.extension,
    hasKeys: encryption !== undefined,
    readsPlain: description.encryption?.readsPlain !== false,
    seal: (sink, use, help = {}) => seal(compression, encryption, sink, { ...help, ...level, use }),
    open(source: ByteSource, extension: string): Awaitable<BlockReader> {
      return openSealed(compressionOf(compressionNamed(extension)), encryption, source, extension)
    },
    sealStream: use => source => sealStream(codec, source, use),
    openStream: (extension): ByteTransform => {
      compressionNamed(extension)
      return source => openStream(codec, source, extension)
    },
  }
  return codec
}

function compressionNamed(extension: string): CompressionName {
  const name = compressionByExtension(extension)
  if (name !== undefined) return name
  throw new WalgError('FORMAT_UNSUPPORTED', `there is no compression for the extension "${extension}"`, {
    facts: { extension },
  })
}

function seal(
  compression: Compression,
  encryption: Encryption | undefined,
  sink: ByteSink,
  options: CompressionOptions,
): Awaitable<BlockWriter> {
  if (compression.openWriter === undefined) {
    throw new WalgError('FORMAT_UNSUPPORTED', `${compression.name} is only read, never written`)
  }
  const sealed = encryption === undefined ? sink : encryption.encrypt(sink)
  if (!(sealed instanceof Promise)) return compression.openWriter(sealed, options)
  return sealed.then(ready => compression.openWriter!(ready, options))
}

function openSealed(
  compression: Compression,
  encryption: Encryption | undefined,
  source: ByteSource,
  extension: string,
): Awaitable<BlockReader> {
  const plain = encryption === undefined ? source : encryption.decrypt(source, extension)
  return plain instanceof Promise ? plain.then(compression.openReader) : compression.openReader(plain)
}

async function* sealStream(
  codec: Codec,
  source: ByteStream,
  use: CompressionOptions['use'],
): AsyncGenerator<Uint8Array> {
  const sealed: Uint8Array[] = []
  const sink: ByteSink = {
    write(bytes: Uint8Array): void {
      sealed.push(new Uint8Array(bytes))
    },
    end(): void {},
  }
  const writer = await codec.seal(sink, use)
  try {
    let filled = 0
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; ) {
        const count = Math.min(chunk.length - at, writer.capacityBytes - filled)
        writer.memory.set(chunk.subarray(at, at + count), writer.base + filled)
        at += count
        filled += count
        if (filled < writer.capacityBytes) continue
        await writer.flush(filled)
        filled = 0
        yield* sealed.splice(0)
      }
    }
    if (filled > 0) await writer.flush(filled)
    await writer.end()
    yield* sealed.splice(0)
  } finally {
    writer.close()
  }
}

async function* openStream(codec: Codec, source: ByteStream, extension: string): AsyncGenerator<Uint8Array> {
  const reader = await codec.open(sourceFromStream(source), extension)
  try {
    for (;;) {
      const bytes = await reader.next()
      if (bytes === null) return
      yield bytes
    }
  } finally {
    await reader.close()
  }
}
