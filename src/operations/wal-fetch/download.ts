import { closeSync, fsyncSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import type { BlockReader, Codec } from '../../codec/codec.ts'
import { errnoOf, fromSystemError, hasCode, isDamage, WalgError } from '../../kit/errors.ts'
import type { Hasher } from '../../kit/hash.ts'
import { assertSegment, openSegmentChecker } from '../../postgres/wal/page-reader.ts'
import { openRecordChecker } from '../../postgres/wal/record-checker.ts'
import {
  endsInZeros,
  judgeSegmentTail,
  type ReadSegment,
  type UnsoundTail,
} from '../../postgres/wal/segment-tail.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import { walKey } from '../../repository/layout.ts'
import { type FoundPayload, findPayload } from '../../repository/sealed.ts'
import { isStorageTrouble } from '../../storage/failover/storage-trouble.ts'
import { copiesOf } from '../../storage/layers/copies.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import { readAhead } from './read-ahead.ts'

export interface Downloaded {
  readonly sizeBytes: number
  /** Empty unless the file was hashed. */
  readonly contentHash: string
  /** Where a segment that was never finished ends; undefined for all others. */
  readonly unfinished: UnsoundTail | undefined
}

export interface DownloadOptions {
  readonly isDurable: boolean
  /** Hashes the content as it passes, for a file that is met again later. */
  readonly hasher?: Hasher
}

/** What one process needs to fetch WAL files one after the other. */
export interface Downloader {
  readonly context: OperationContext
  readonly codec: Codec
  /** Opened by the first call: a fetch that meets no prefetched file hashes nothing. */
  readonly hasher: () => Hasher
}

/** Forms whose end can be seen, but not whether a byte within has changed (docs/FORMAT.md 2). */
const WITHOUT_CHECKSUM: ReadonlySet<string> = new Set(['', 'br', 'lzma'])

/**
 * Fetches an archived file into the new file `path`. On any failure `path` is gone again. A segment is checked
 * as it passes: its own size, page magics and addresses, and the verified end of the stored stream. Where the form
 * has no checksum those of the WAL records count: PostgreSQL would take a changed byte for the end of WAL.
 *
 * What a server that died had begun is delivered, and said: PostgreSQL sees for itself where that ends.
 *
 * Throws WAL_NOT_FOUND only after a positive "not there": every form of the name was asked for and the
 * storage's root answers. Throws WAL_INVALID, FORMAT_*, CHECKSUM_MISMATCH for a damaged object.
 */
export async function downloadWal(
  downloader: Downloader,
  name: string,
  path: string,
  options: DownloadOptions,
): Promise<Downloaded> {
  const { context } = downloader
  const copies = copiesOf(context.storage)
  const failures: unknown[] = []
  for (const storage of copies) {
    try {
      const downloaded = await downloadFrom(downloader, storage, name, path, options)
      if (downloaded !== null) return downloaded
    } catch (error) {
      if (copies.length === 1 || !isWorthAnother(error)) throw error
      failures.push(error)
      context.log.warning(`${error.message}; the next storage is asked`)
    }
  }
  if (failures.length > 0) throw failures[0]
  await context.storage.checkRoot({ signal: context.signal })
  throw new WalgError('WAL_NOT_FOUND', `Archive '${name}' does not exist.`, {
    facts: { name, storage: context.storage.name },
  })
}

/** Damage, and a storage that fails: another one may have the file whole. */
function isWorthAnother(error: unknown): error is WalgError {
  return isStorageTrouble(error) || isDamage(error) || hasCode(error, 'WAL_INVALID')
}

/** Null when this storage does not have it. A damaged object may lie beside another form that is whole. */
async function downloadFrom(
  downloader: Downloader,
  storage: Storage,
  name: string,
  path: string,
  options: DownloadOptions,
): Promise<Downloaded | null> {
  const { log, signal } = downloader.context
  const damaged = new Set<string>()
  let failure: unknown
  for (;;) {
    const found = await findPayload(storage, walKey(name, ''), { signal, without: damaged })
    if (found === null && failure === undefined) return null
    if (found === null) throw failure
    if (failure !== undefined)
      log.warning(`${(failure as WalgError).message}; "${found.key}" is taken instead`)
    try {
      return await downloadFound(downloader, storage, name, found, path, options)
    } catch (error) {
      if (!isDamage(error) && !hasCode(error, 'WAL_INVALID')) throw error
      damaged.add(found.key)
      failure ??= error
    }
  }
}

async function downloadFound(
  { context, codec }: Downloader,
  storage: Storage,
  name: string,
  found: FoundPayload,
  path: string,
  options: DownloadOptions,
): Promise<Downloaded> {
  const source = readAhead(await storage.openSource(found.key, { signal: context.signal }))
  const target = createTarget(path)
  try {
    const checker = isSegmentName(name) ? openChecker(name, found.extension) : undefined
    const reader = await codec.open(source, found.extension)
    let sizeBytes: number
    try {
      sizeBytes = await copyBlocks(reader, target, checker, { ...options, signal: context.signal })
    } finally {
      await reader.close()
    }
    const unfinished = await checker?.end(target.read)
    if (options.isDurable) target.sync()
    target.close()
    return { sizeBytes, contentHash: options.hasher?.digest() ?? '', unfinished }
  } catch (error) {
    await source.close()
    target.close()
    removeFile(path)
    throw nameObject(error, found.key, codec.hasKeys)
  }
}

interface Checker {
  update(block: Uint8Array): void
  /** As in `Downloaded`; `read` reads what was written. */
  end(read: ReadSegment): Promise<UnsoundTail | undefined>
}

function openChecker(name: string, extension: string): Checker {
  const pages = openSegmentChecker(name)
  const records = WITHOUT_CHECKSUM.has(extension) ? openRecordChecker(name) : undefined
  let passedBytes = 0
  return {
    update(block: Uint8Array): void {
      pages.update(block)
      // behind a fault nothing is of this segment
      const own = Math.max(0, (pages.fault?.offsetBytes ?? Number.POSITIVE_INFINITY) - passedBytes)
      records?.update(block.subarray(0, own))
      passedBytes += block.length
    },
    async end(read: ReadSegment): Promise<UnsoundTail | undefined> {
      const report = pages.end()
      const tail = judgeSegmentTail(report)
      if (tail?.isUnfinished !== true) assertSegment(report)
      records?.end()
      if (tail !== undefined || !endsInZeros(report, read)) return tail
      const { judgeZeroTail } = await import('../../postgres/wal/zero-tail.ts')
      return judgeZeroTail(report, read)
    },
  }
}

async function copyBlocks(
  reader: BlockReader,
  target: Target,
  checker: Checker | undefined,
  { hasher, signal }: Pick<DownloadOptions, 'hasher'> & { readonly signal: AbortSignal },
): Promise<number> {
  hasher?.reset()
  let sizeBytes = 0
  for (;;) {
    const next = reader.next()
    const block = next instanceof Promise ? await next : next
    if (block === null) return sizeBytes
    hasher?.update(block)
    checker?.update(block)
    target.write(block)
    sizeBytes += block.length
    signal.throwIfAborted()
  }
}

interface Target {
  write(bytes: Uint8Array): void
  readonly read: ReadSegment
  sync(): void
  close(): void
}

function createTarget(path: string): Target {
  let descriptor: number
  try {
    descriptor = openSync(path, 'wx+', 0o600)
  } catch (error) {
    throw fromSystemError(error, 'create', path)
  }
  let isOpen = true
  return {
    write(bytes: Uint8Array): void {
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at, bytes.length - at)
      } catch (error) {
        throw fromSystemError(error, 'write', path)
      }
    },
    read(into: Uint8Array, positionBytes: number): void {
      try {
        readSync(descriptor, into, 0, into.length, positionBytes)
      } catch (error) {
        throw fromSystemError(error, 'read', path)
      }
    },
    sync(): void {
      try {
        fsyncSync(descriptor)
      } catch (error) {
        throw fromSystemError(error, 'fsync', path)
      }
    },
    close(): void {
      if (isOpen) closeSync(descriptor)
      isOpen = false
    },
  }
}

const NO_KEY_HINT =
  'if the archive is encrypted, set its key (docs/guide/encryption.md); if not, the object is damaged: fetch it from another copy of the archive'

const DAMAGE_HINT =
  'the archived object is damaged; fetch it from another copy of the archive, or from the primary while it still has the segment'

/** Says which object was damaged: the person at 3 a.m. has to find it. A fetch that was interrupted says nothing about it. */
function nameObject(error: unknown, key: string, hasKeys: boolean): unknown {
  if (!(error instanceof WalgError) || error.code === 'CANCELLED') return error
  if ('key' in error.facts || error.message.includes(key)) return error
  const hint = error.hint ?? hintFor(error, hasKeys)
  const facts = { ...error.facts, key }
  return new WalgError(error.code, `object "${key}": ${error.message}`, {
    facts,
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  })
}

function hintFor(error: WalgError, hasKeys: boolean): string | undefined {
  // what is sealed looks like noise, which brotli may also take for a stream that is cut
  if (hasCode(error, 'FORMAT_INVALID', 'FORMAT_TRUNCATED') && !hasKeys) return NO_KEY_HINT
  return isDamage(error) || hasCode(error, 'WAL_INVALID', 'FORMAT_UNSUPPORTED') ? DAMAGE_HINT : undefined
}

/** Removes a file of ours; its absence is fine. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
