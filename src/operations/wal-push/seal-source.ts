import type { BlockWriter } from '../../codec/codec.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Hasher } from '../../kit/hash.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import {
  openSegmentChecker,
  type SegmentChecker,
  type SegmentReport,
} from '../../postgres/wal/page-reader.ts'
import { endsInZeros, judgeSegmentTail, type UnsoundTail } from '../../postgres/wal/segment-tail.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import type { OperationContext } from '../context.ts'
import type { WalSource } from './wal-source.ts'

/** What reads a source needs. */
export interface SourceReading {
  readonly context: OperationContext
  readonly memory: LinearMemory
  readonly hasher: Hasher
}

const HASH_CHUNK_BYTES = 1 << 18

/**
 * Feeds the whole file to the writer, hashing on the way; the last block is flushed, the frame left open. The page
 * headers of a segment are looked at while its bytes are in memory anyway.
 */
export async function sealSource(
  { hasher, context }: SourceReading,
  source: WalSource,
  writer: BlockWriter,
): Promise<string> {
  const pages = isSegmentName(source.name) ? openSegmentChecker(source.name) : undefined
  hasher.reset()
  let position = 0
  for (;;) {
    const { memory, base, capacityBytes } = writer
    let count = 0
    while (count < capacityBytes) {
      const got = source.readAt(memory.subarray(base + count, base + capacityBytes), position)
      if (got === 0) break
      count += got
      position += got
    }
    if (count > 0) {
      const block = memory.subarray(base, base + count)
      hasher.update(block)
      pages?.update(block)
      const flushed = writer.flush(count)
      if (flushed !== undefined) await flushed
    }
    context.signal.throwIfAborted()
    if (count < capacityBytes) break
  }
  if (position !== source.sizeBytes) {
    throw new WalgError(
      'WAL_INVALID',
      `"${source.path}" changed size while it was read: ${source.sizeBytes}, then ${position} bytes`,
      {
        hint: 'only finished WAL files can be archived',
      },
    )
  }
  if (pages !== undefined) await warnOfTail(context, source, pages)
  return hasher.digest()
}

/** The archiver hands over finished segments only; one that is not comes from a person, who must learn of it now. */
async function warnOfTail(
  { log }: OperationContext,
  source: WalSource,
  pages: SegmentChecker,
): Promise<void> {
  const { path, name } = source
  const report = pages.end()
  const tail = judgeSegmentTail(report) ?? (await judgeZeros(report, source))
  if (tail === undefined) return
  const outcome = tail.isUnfinished
    ? `it is archived as it is, and recovery ends there; an unfinished segment is archived as "${name}.partial"`
    : 'it is archived as it is, and wal-fetch will refuse it'
  log.warning(`"${path}" ${tail.message}; ${outcome}`)
}

/** What reads records is loaded only here: every push is a process of its own. */
async function judgeZeros(report: SegmentReport, source: WalSource): Promise<UnsoundTail | undefined> {
  const read = (into: Uint8Array, position: number): void => {
    for (let at = 0; at < into.length; ) {
      const got = source.readAt(into.subarray(at), position + at)
      if (got === 0) return
      at += got
    }
  }
  if (!endsInZeros(report, read)) return undefined
  const { judgeZeroTail } = await import('../../postgres/wal/zero-tail.ts')
  return judgeZeroTail(report, read)
}

/** Hash of the whole content, as `sealSource` returns it. */
export function hashSource({ hasher, memory }: Omit<SourceReading, 'context'>, source: WalSource): string {
  const at = memory.allocate(HASH_CHUNK_BYTES)
  try {
    hasher.reset()
    for (let position = 0; ; ) {
      const chunk = memory.bytes.subarray(at, at + HASH_CHUNK_BYTES)
      const got = source.readAt(chunk, position)
      if (got === 0) return hasher.digest()
      hasher.update(chunk.subarray(0, got))
      position += got
    }
  } finally {
    memory.release(at, HASH_CHUNK_BYTES)
  }
}
