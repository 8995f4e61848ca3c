import zlib from 'node:zlib'
import type { Awaitable } from '../../kit/bytes.ts'

/** One direction of a codec of `node:zlib`, fed and drained by hand. */
export interface ZlibEngine {
  /**
   * Works on `count` bytes of `input` from `at`, into `output` from `outputAt`, until one of them is used up.
   * Then `consumed` and `written` tell how far it came. A codec error is thrown as it is.
   */
  run(
    flush: number,
    input: Uint8Array,
    at: number,
    count: number,
    output: Uint8Array,
    outputAt: number,
    outputCount: number,
  ): Awaitable<void>
  readonly consumed: number
  readonly written: number
  close(): void
}

/** How much the public stream is given at once: bounds what it can expand to. */
const STREAM_PIECE_BYTES = 65_536

type ZlibStream = ReturnType<typeof zlib.createZstdCompress>

interface ZlibHandle {
  writeSync(...call: [number, Uint8Array, number, number, Uint8Array, number, number]): void
  onerror: (message: string, errno: number, code: string) => void
}

/** What the stream objects of the runtime carry inside; checked before it is relied on. */
interface StreamWithHandle {
  readonly _handle?: ZlibHandle
  readonly _writeState?: Uint32Array
}

/** An error of the codec itself, with its own code such as `ZSTD_error_checksum_wrong`. */
export class ZlibFailure extends Error {
  readonly code: string
  constructor(message: string, code: string) {
    super(message)
    this.code = code
  }
}

let isHandleTrusted: boolean | undefined

/**
 * Opens an engine. The handle behind the public stream runs synchronously on any memory, which the public
 * stream cannot (docs/decisions). It is private, so it is tried on a known message first; where it is missing
 * or fails, the public stream does the work, more slowly.
 */
export function openZlibEngine(create: () => ZlibStream): ZlibEngine {
  isHandleTrusted ??= checkHandle()
  return isHandleTrusted ? openHandleEngine(create()) : openStreamEngine(create())
}

/** For tests: as if the check had failed (false), or check again (undefined). */
export function trustHandle(isTrusted: boolean | undefined): void {
  isHandleTrusted = isTrusted
}

function openHandleEngine(stream: ZlibStream): ZlibEngine {
  const { _handle: handle, _writeState: left } = stream as unknown as StreamWithHandle
  if (handle === undefined || left === undefined)
    throw new Error('the runtime has no synchronous zlib handle')
  let failure: ZlibFailure | undefined
  let consumed = 0
  let written = 0
  handle.onerror = (message, _errno, code) => {
    failure = new ZlibFailure(message, code)
  }
  return {
    run(flush, input, at, count, output, outputAt, outputCount): void {
      handle.writeSync(flush, input, at, count, output, outputAt, outputCount)
      if (failure !== undefined) throw failure
      written = outputCount - left[0]!
      consumed = count - left[1]!
    },
    get consumed(): number {
      return consumed
    },
    get written(): number {
      return written
    },
    close: () => stream.close(),
  }
}

function checkHandle(): boolean {
  const message = new TextEncoder().encode('the handle writes what the library reads, and reads it back')
  const sealed = new Uint8Array(256)
  const opened = new Uint8Array(256)
  try {
    const compressor = openHandleEngine(zlib.createZstdCompress())
    compressor.run(zlib.constants.ZSTD_e_end, message, 4, message.length - 4, sealed, 3, 200)
    const sealedBytes = compressor.written
    const isWhole = compressor.consumed === message.length - 4
    compressor.close()
    const decompressor = openHandleEngine(zlib.createZstdDecompress())
    decompressor.run(zlib.constants.ZSTD_e_continue, sealed, 3, sealedBytes, opened, 5, 200)
    const openedBytes = opened.subarray(5, 5 + decompressor.written)
    const isRead = decompressor.consumed === sealedBytes
    decompressor.close()
    return isWhole && isRead && Buffer.compare(openedBytes, message.subarray(4)) === 0
  } catch {
    return false
  }
}

/**
 * The same over the public stream. Input is copied, since the stream's thread works while others go on; a call
 * may return before its input is used up, the caller offers it again.
 */
function openStreamEngine(stream: ZlibStream): ZlibEngine {
  const ready: Uint8Array[] = []
  let failure: Error | undefined
  let isBusy = false
  let isEnded = false
  let taken = 0
  let wake = (): void => {}
  let consumed = 0
  let written = 0
  stream.on('error', (error: Error & { code?: string }) => {
    failure = new ZlibFailure(error.message, error.code ?? '')
    wake()
  })
  stream.on('data', (chunk: Uint8Array) => {
    ready.push(chunk)
    stream.pause()
    wake()
  })
  stream.on('end', () => {
    isEnded = true
    wake()
  })
  stream.pause()
  const offer = (bytes: Uint8Array): void => {
    isBusy = true
    stream.write(Buffer.from(bytes), () => {
      isBusy = false
      wake()
    })
  }
  const drain = (output: Uint8Array): void => {
    while (ready.length > 0 && written < output.length) {
      const chunk = ready[0]!
      const count = Math.min(chunk.length, output.length - written)
      output.set(chunk.subarray(0, count), written)
      written += count
      if (count === chunk.length) ready.shift()
      else ready[0] = chunk.subarray(count)
    }
  }
  return {
    async run(flush, input, at, count, output, outputAt, outputCount): Promise<void> {
      const target = output.subarray(outputAt, outputAt + outputCount)
      written = 0
      const isFinishing = count === 0 && flush !== 0
      let isOffered = count === 0
      if (isFinishing && !stream.writableEnded) stream.end()
      for (;;) {
        if (failure !== undefined) throw failure
        drain(target)
        if (written === outputCount) break
        if (ready.length === 0 && !isBusy && (!isFinishing || isEnded)) {
          // what is left of an earlier piece comes first: it may have been through between two calls
          if (isOffered || written > 0 || stream.bytesWritten > taken) break
          offer(input.subarray(at, at + Math.min(count, STREAM_PIECE_BYTES)))
          isOffered = true
        }
        await new Promise<void>(resolve => {
          wake = resolve
          stream.resume()
        })
      }
      consumed = stream.bytesWritten - taken
      taken = stream.bytesWritten
    },
    get consumed(): number {
      return consumed
    },
    get written(): number {
      return written
    },
    close: () => {
      stream.destroy()
    },
  }
}
