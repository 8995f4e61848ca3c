import { expect, test } from 'bun:test'
import { collect, streamOf } from '../kit/bytes.ts'
import type { CompressionName } from './codec.ts'
import { openCodec } from './open-codec.ts'
import { warmUpOpening } from './warm-up.ts'

const METHODS: readonly CompressionName[] = ['lz4', 'zstd', 'brotli', 'lzma', 'none']

test('warming up changes nothing of what a codec seals and opens, whichever method is set', async () => {
  const content = crypto.getRandomValues(new Uint8Array(50_000))
  for (const compression of METHODS) {
    warmUpOpening({ compression })
    const codec = openCodec({ compression })
    const sealed = await collect(codec.sealStream('wal')(streamOf(content)), 1 << 20)
    warmUpOpening({ compression })
    expect(await collect(codec.openStream(codec.extension)(streamOf(sealed)), 1 << 20)).toEqual(content)
  }
})
