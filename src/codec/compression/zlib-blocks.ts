import type { Awaitable, ByteSink, ByteSource } from '../../kit/bytes.ts'
import { assert } from '../../kit/errors.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockReader, BlockWriter } from '../codec.ts'
import { badData, cutData, wrongChecksum } from '../damage.ts'
import { runSteps, type Steps } from '../steps.ts'
import { openStoredInput, type StoredInput } from '../stored-input.ts'
import { type ZlibEngine, ZlibFailure } from './zlib-engine.ts'

const READ_BYTES = 256 << 10
const LENT_BYTES = 256 << 10

export interface ZlibWriterOptions {
  readonly blockBytes: number
  readonly outputBytes: number
  /** The operation that ends the frame; 0 goes on with it in every codec. */
  readonly endOperation: number
}

/**
 * The input side of a compressor of `node:zlib`: blocks in linear memory, one frame. The engine is opened when its first
 * block is there to be seen (empty when there is none).
 */
export function openZlibWriter(
  openEngine: (firstBlock: Uint8Array) => ZlibEngine,
  sink: ByteSink,
  memory: LinearMemory,
  options: ZlibWriterOptions,
): BlockWriter {
  const { blockBytes, outputBytes, endOperation } = options
  const block = memory.allocate(blockBytes)
  const output = memory.allocate(outputBytes)
  let engine: ZlibEngine | undefined
  let heldBytes = 0
  let isOpen = true

  const close = (): void => {
    if (!isOpen) return
    isOpen = false
    engine?.close()
    memory.release(block, blockBytes)
    memory.release(output, outputBytes)
  }
  const handOn = (): Awaitable<void> => {
    const count = heldBytes
    heldBytes = 0
    return sink.write(memory.bytes.subarray(output, output + count))
  }
  /** Until all input is taken and the codec has no more to say. */
  function* run(operation: number, count: number): Steps<void> {
    let done = 0
    engine ??= openEngine(memory.bytes.subarray(block, block + count))
    for (;;) {
      const { bytes } = memory
      const room = outputBytes - heldBytes
      yield engine.run(operation, bytes, block + done, count - done, bytes, output + heldBytes, room)
      done += engine.consumed
      heldBytes += engine.written
      if (heldBytes === outputBytes) yield handOn()
      else if (done === count) return
    }
  }
  function* end(): Steps<void> {
    yield* run(endOperation, 0)
    if (heldBytes > 0) yield handOn()
    close()
    yield sink.end()
  }
  return {
    get memory(): Uint8Array {
      return memory.bytes
    },
    base: block,
    capacityBytes: blockBytes,
    flush(count: number): Awaitable<void> {
      assert(isOpen && count <= blockBytes, 'an open writer takes blocks up to its capacity')
      if (count > 0) return runSteps(run(0, count))
    },
    end: () => runSteps(end()),
    close,
  }
}

/** The output side of a decompressor of `node:zlib` for formats of one stream per object, or with `inspected` sources. */
export function openZlibReader(
  engine: ZlibEngine,
  source: ByteSource,
  memory: LinearMemory,
  format: ZlibFormat,
): BlockReader {
  const input = openStoredInput(source, memory)
  input.widen(READ_BYTES)
  const output = memory.allocate(LENT_BYTES)
  let isOpen = true
  let isFinished = false
  let isCut = false

  function* next(): Steps<Uint8Array | null> {
    if (isCut) throw cutData(format.name, input.consumedBytes)
    let written = 0
    while (!isFinished && written < LENT_BYTES) {
      const count = yield* input.fill(1, READ_BYTES)
      yield runEngine(engine, input, memory, output + written, LENT_BYTES - written, format.name)
      written += engine.written
      input.consume(engine.consumed)
      const isIdle = engine.consumed === 0 && engine.written === 0
      if (!isIdle) continue
      if (count > 0) throw badData(format.name, 'bytes follow its end', input.consumedBytes)
      isCut = !(yield* format.isWhole(engine, input))
      // the content before the cut comes first
      if (isCut && written === 0) throw cutData(format.name, input.consumedBytes)
      isFinished = true
    }
    return written === 0 ? null : memory.bytes.subarray(output, output + written)
  }
  return {
    next: () => runSteps(next()),
    close(): Awaitable<void> {
      if (!isOpen) return
      isOpen = false
      engine.close()
      memory.release(output, LENT_BYTES)
      return input.close()
    },
  }
}

export interface ZlibFormat {
  readonly name: string
  /** At the end of the source, everything drained: has the stream ended, too? */
  isWhole(engine: ZlibEngine, input: StoredInput): Steps<boolean>
}

const PROBE_INPUT = new Uint8Array(1)
const PROBE_OUTPUT = new Uint8Array(16)

/** A stream that has ended takes no further byte. The engine is of no use afterwards. */
export function* takesNoMore(engine: ZlibEngine, input: StoredInput): Steps<boolean> {
  if (input.consumedBytes === 0) return false
  try {
    yield engine.run(0, PROBE_INPUT, 0, 1, PROBE_OUTPUT, 0, PROBE_OUTPUT.length)
  } catch {
    return false // the byte was taken, and was wrong
  }
  return engine.consumed === 0 && engine.written === 0
}

/** One run over what the window holds, its errors translated. */
export function runEngine(
  engine: ZlibEngine,
  input: StoredInput,
  memory: LinearMemory,
  output: number,
  room: number,
  format: string,
): Awaitable<void> {
  const { bytes } = memory
  try {
    const running = engine.run(0, bytes, input.at, input.count, bytes, output, room)
    if (running instanceof Promise) {
      return running.catch(error => {
        throw translated(error, format, input.consumedBytes)
      })
    }
  } catch (error) {
    throw translated(error, format, input.consumedBytes)
  }
}

function translated(error: unknown, format: string, storedBytes: number): unknown {
  if (!(error instanceof ZlibFailure)) return error
  if (error.code === 'ZSTD_error_checksum_wrong') return wrongChecksum(format, storedBytes)
  return badData(format, error.message.toLowerCase(), storedBytes, error)
}
