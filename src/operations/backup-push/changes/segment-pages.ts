import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { eventTurn, throwIfCancelled } from '../../../kit/clock.ts'
import { errnoOf, fromSystemError, hasCode } from '../../../kit/errors.ts'
import type { LinearMemory } from '../../../kit/linear-memory.ts'
import { decodePageHeader, LONG_HEADER_BYTES } from '../../../postgres/wal/wal-page.ts'
import { parseSegmentName, segmentStartLsn } from '../../../postgres/wal-segment.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import { openPayload } from '../../../repository/sealed.ts'
import type { OperationContext } from '../../context.ts'

const CHUNK_BYTES = 1 << 18

/** A segment's bytes, from `pg_wal` or from the archive. */
export interface SegmentBytes extends AsyncDisposable {
  readonly isLocal: boolean
  /** Pieces in order; each is lent until the next. */
  chunks(): AsyncGenerator<Uint8Array>
}

/** Opens segments by name: those of the server's own `pg_wal` without a detour over the archive. */
export class SegmentFinder {
  readonly #context: OperationContext
  readonly #walDirectory: string
  readonly #segmentBytes: number
  /** Files that turned into another segment while they were read. */
  readonly #distrusted = new Set<string>()
  /** Lies in the memory of the checksum engine: what is read into it need not be copied. */
  readonly #chunk: Uint8Array

  constructor(context: OperationContext, walDirectory: string, segmentBytes: number, memory: LinearMemory) {
    this.#context = context
    this.#walDirectory = walDirectory
    this.#segmentBytes = segmentBytes
    const at = memory.allocate(CHUNK_BYTES)
    this.#chunk = memory.bytes.subarray(at, at + CHUNK_BYTES)
  }

  /** From now on the segment is taken from the archive. */
  distrust(name: string): void {
    this.#distrusted.add(name)
  }

  /** undefined: it is in neither place. */
  async open(name: string): Promise<SegmentBytes | undefined> {
    const fd = this.#distrusted.has(name) ? undefined : this.#openLocal(name)
    if (fd !== undefined) {
      return {
        isLocal: true,
        chunks: () => readChunks(fd, join(this.#walDirectory, name), this.#chunk, this.#context.signal),
        [Symbol.asyncDispose]: async () => closeSync(fd),
      }
    }
    const { storage, codec, signal } = this.#context
    try {
      const stream = await openPayload(storage, codec, `${WAL_PREFIX}/${name}`, {
        signal,
        firstExtension: codec.extension,
      })
      return {
        isLocal: false,
        chunks: () => stream[Symbol.asyncIterator]() as AsyncGenerator<Uint8Array>,
        async [Symbol.asyncDispose]() {},
      }
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
      throw error
    }
  }

  /** A file of this name may still hold the older segment whose file it was. */
  #openLocal(name: string): number | undefined {
    const path = join(this.#walDirectory, name)
    let fd: number
    try {
      fd = openSync(path, 'r')
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw fromSystemError(error, 'read', path)
    }
    const header = new Uint8Array(LONG_HEADER_BYTES)
    const isThere = readSync(fd, header, 0, header.length, 0) === header.length
    const startLsn = segmentStartLsn(parseSegmentName(name, this.#segmentBytes), this.#segmentBytes)
    if (isThere && decodePageHeader(new DataView(header.buffer), 0).pageLsn === startLsn) return fd
    closeSync(fd)
    return undefined
  }
}

async function* readChunks(
  fd: number,
  path: string,
  chunk: Uint8Array,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let position = 0; ; ) {
    let count: number
    try {
      count = readSync(fd, chunk, 0, chunk.length, position)
    } catch (error) {
      throw fromSystemError(error, 'read', path)
    }
    if (count === 0) return
    yield chunk.subarray(0, count)
    position += count
    // between two pieces others have their turn: this thread also watches over the backup
    await eventTurn()
    throwIfCancelled(signal)
  }
}
