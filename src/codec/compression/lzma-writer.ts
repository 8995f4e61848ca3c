import type { Awaitable, ByteSink } from '../../kit/bytes.ts'
import { assert } from '../../kit/errors.ts'
import { type LinearMemory, openModule } from '../../kit/linear-memory.ts'
import type { BlockWriter, CompressionOptions } from '../codec.ts'
import path from '../lzma-encode.wasm' with { type: 'file' }
import { runSteps, type Steps } from '../steps.ts'

const BLOCK_BYTES = 256 << 10
const OUTPUT_BYTES = 256 << 10
/** The window, and room to take in 4 MiB more before it moves. */
const BUFFER_BYTES = (8 << 20) + (4 << 20)
const SLACK_BYTES = 64
/** The original's: lc 3, lp 0, pb 2, a dictionary of 8 MiB, unknown size. */
const HEADER = [0x5d, 0x00, 0x00, 0x80, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff] as const
/** So many candidates are looked at for every match, and one of this length is taken at once (docs/decisions/lzma.md). */
const DEPTH = 6
const NICE_BYTES: Readonly<Record<CompressionOptions['use'], number>> = {
  part: 128,
  'small files': 128,
  wal: 64,
}

interface LzmaEncodeModule {
  stateBytes(): number
  headsBytes(): number
  chainBytes(): number
  open(
    state: number,
    buffer: number,
    bufferBytes: number,
    heads: number,
    chain: number,
    output: number,
    outputBytes: number,
    nice: number,
    depth: number,
  ): void
  give(state: number, input: number, count: number): number
  encode(state: number, isLast: boolean): number
  takeWritten(state: number): number
}

/** Opens a compressor for one `.lzma` stream with an end mark. */
export function openLzmaWriter(
  sink: ByteSink,
  memory: LinearMemory,
  { use }: CompressionOptions,
): BlockWriter {
  const lzma = openModule<LzmaEncodeModule>(memory, path)
  const sizes = {
    block: BLOCK_BYTES,
    output: OUTPUT_BYTES,
    state: lzma.stateBytes(),
    heads: lzma.headsBytes(),
    buffer: BUFFER_BYTES + SLACK_BYTES,
    chain: lzma.chainBytes(),
  }
  const { block, output, state, heads, buffer, chain } = allocateAll(memory, sizes)
  lzma.open(state, buffer, BUFFER_BYTES, heads, chain, output, OUTPUT_BYTES, NICE_BYTES[use], DEPTH)
  let hasHeader = false
  let isOpen = true

  const close = (): void => {
    if (!isOpen) return
    isOpen = false
    const areas = { block, output, state, heads, buffer, chain }
    for (const name of Object.keys(sizes) as (keyof typeof sizes)[]) memory.release(areas[name], sizes[name])
  }
  function* handOn(): Steps<void> {
    if (!hasHeader) {
      hasHeader = true
      yield sink.write(Uint8Array.from(HEADER))
    }
    const written = lzma.takeWritten(state)
    if (written > 0) yield sink.write(memory.bytes.subarray(output, output + written))
  }
  function* encodeAll(isLast: boolean): Steps<void> {
    while (lzma.encode(state, isLast) === 1) yield* handOn()
  }
  function* flush(count: number): Steps<void> {
    assert(lzma.give(state, block, count) === 1, 'what was given before is encoded')
    yield* encodeAll(false)
    yield* handOn()
  }
  function* end(): Steps<void> {
    yield* encodeAll(true)
    yield* handOn()
    close()
    yield sink.end()
  }
  return {
    get memory(): Uint8Array {
      return memory.bytes
    },
    base: block,
    capacityBytes: BLOCK_BYTES,
    flush(count: number): Awaitable<void> {
      assert(isOpen && count <= BLOCK_BYTES, 'an open writer takes blocks up to its capacity')
      if (count > 0) return runSteps(flush(count))
    },
    end: () => runSteps(end()),
    close,
  }
}

function allocateAll<Name extends string>(
  memory: LinearMemory,
  sizes: Readonly<Record<Name, number>>,
): Record<Name, number> {
  const areas: Partial<Record<Name, number>> = {}
  for (const name of Object.keys(sizes) as Name[]) areas[name] = memory.allocate(sizes[name])
  return areas as Record<Name, number>
}
