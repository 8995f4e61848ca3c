import { describe, expect, test } from 'bun:test'
import { createMemoryBudget, openMemoryBudget } from '../../kit/limits.ts'
import { BlockSink, type BlockSinkOptions, type BlockUpload, blockSizeAt } from './block-sink.ts'

interface Recording extends BlockUpload {
  readonly calls: string[]
  readonly bytes: () => Buffer
  underWayMax: number
}

function record(failing?: string): Recording {
  const calls: string[] = []
  const pieces: Buffer[] = []
  let underWay = 0
  const step = async (name: string, index: number, bytes: Uint8Array): Promise<void> => {
    recording.underWayMax = Math.max(recording.underWayMax, ++underWay)
    const copy = Buffer.from(bytes)
    await Bun.sleep(1)
    // a block that is on its way must not be filled again
    expect(copy.equals(bytes)).toBe(true)
    pieces[index] = copy
    underWay--
    calls.push(`${name} ${bytes.length}`)
    if (name === failing) throw new Error('refused')
  }
  const recording: Recording = {
    calls,
    underWayMax: 0,
    bytes: () => Buffer.concat(pieces),
    putWhole: bytes => step('whole', 0, bytes),
    putBlock: (index, bytes) => step('block', index, bytes),
    finish: (index, bytes) => step('finish', index, bytes),
    discard: async () => void calls.push('discard'),
  }
  return recording
}

function sinkOf(upload: BlockUpload, options: Partial<BlockSinkOptions> = {}): BlockSink {
  return new BlockSink(upload, {
    key: 'object',
    storage: 'test',
    blockSizeBytes: 1000,
    blocksMax: 3,
    isParallel: true,
    signal: undefined,
    ...options,
  })
}

/** Lends one buffer again and again. */
async function write(sink: BlockSink, content: Uint8Array, pieceBytes: number): Promise<void> {
  const buffer = new Uint8Array(pieceBytes)
  for (let at = 0; at < content.length; at += pieceBytes) {
    const piece = content.subarray(at, at + pieceBytes)
    buffer.set(piece)
    await sink.write(buffer.subarray(0, piece.length))
    buffer.fill(0xee)
  }
}

const content = Uint8Array.from({ length: 4500 }, (_, at) => (at * 7) % 251)

describe('a sink that sends blocks', () => {
  test('puts what fits into a block by one request, the full block too', async () => {
    for (const sizeBytes of [0, 1, 999, 1000]) {
      const upload = record()
      const sink = sinkOf(upload)
      await write(sink, content.subarray(0, sizeBytes), 300)
      await sink.end()
      expect(upload.calls).toEqual([`whole ${sizeBytes}`])
    }
  })

  for (const [isParallel, blocksMax, underWayMax] of [
    [true, 3, 3],
    [false, 2, 1],
    [true, 1, 1],
  ] as const) {
    test(`sends more in order of their numbers: ${blocksMax} buffers, ${isParallel ? 'in parallel' : 'one after the other'}`, async () => {
      for (const sizeBytes of [1001, 2000, 4500]) {
        for (const pieceBytes of [7, 1000, 4500]) {
          const upload = record()
          const sink = sinkOf(upload, { isParallel, blocksMax })
          await write(sink, content.subarray(0, sizeBytes), pieceBytes)
          await sink.end()
          expect(upload.bytes().equals(content.subarray(0, sizeBytes))).toBe(true)
          expect(upload.calls.at(-1)).toBe(`finish ${sizeBytes % 1000 || 1000}`)
          expect(upload.underWayMax).toBeLessThanOrEqual(underWayMax)
        }
      }
    })
  }

  test('fails with the error of the block, once, and discards', async () => {
    for (const failing of ['block', 'finish']) {
      const upload = record(failing)
      const sink = sinkOf(upload)
      const work = async (): Promise<void> => {
        await write(sink, content, 500)
        await sink.end()
      }
      expect(work()).rejects.toThrow('refused')
      await work().catch(() => {})
      await sink.abort()
      expect(upload.calls.filter(call => call === 'discard').length).toBeLessThanOrEqual(1)
    }
  })

  test('gives all memory back, however it ends, and stays within the limit', async () => {
    const budget = createMemoryBudget(1 << 20)
    const taken = new Int32Array(budget.shared)
    for (const end of ['end', 'abort', 'fail']) {
      const memory = openMemoryBudget(budget)
      const upload = record(end === 'fail' ? 'block' : undefined)
      const sink = sinkOf(upload, { blockSizeBytes: 300_000, blocksMax: 10, memory })
      const large = new Uint8Array(2_000_000)
      await write(sink, large, 100_000).catch(() => {})
      // 1 MiB holds three blocks: the others are not even asked for
      expect(upload.underWayMax).toBeLessThanOrEqual(3)
      expect(Atomics.load(taken, 0)).toBeLessThanOrEqual(16)
      if (end === 'abort') await sink.abort()
      else await Promise.resolve(sink.end()).catch(() => sink.abort())
      expect(Atomics.load(taken, 0)).toBe(0)
    }
  })
})

test('blocks become larger before a service has counted too many', () => {
  expect(blockSizeAt(0, 1024)).toBe(1024)
  expect(blockSizeAt(9_999, 1024)).toBe(1024)
  expect(blockSizeAt(10_000, 1024)).toBe(2048)
  expect(blockSizeAt(49_999, 8 << 20)).toBe(128 << 20)
})
