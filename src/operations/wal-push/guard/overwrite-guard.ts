import type { Codec } from '../../../codec/codec.ts'
import { hasCode, isDamage, WalgError } from '../../../kit/errors.ts'
import { assertSegment, openSegmentChecker } from '../../../postgres/wal/page-reader.ts'
import { isSegmentName } from '../../../postgres/wal-segment.ts'
import type { FoundPayload } from '../../../repository/sealed.ts'
import type { Storage } from '../../../storage/storage.ts'
import type { WalSource } from '../wal-source.ts'
import {
  holdsNothing,
  isEndOfText,
  isProvenCut,
  nothingSeen,
  type StoredView,
  watchStored,
} from './cut-evidence.ts'

/** How an object in the archive compares with the local file of the same name. */
export type Verdict =
  | { readonly kind: 'identical' }
  | { readonly kind: 'different' }
  /** Provably cut short, and equal to the local file as far as it goes: what an interrupted, non-atomic upload leaves. */
  | { readonly kind: 'incomplete'; readonly reason: string }
  /** Not what was once pushed, or no whole segment of its name: says nothing of who pushed it. */
  | { readonly kind: 'damaged'; readonly error: WalgError }
  /** Removed since it was found. */
  | { readonly kind: 'gone' }
  /** Not readable for want of a key or a permission: contents unknown. */
  | { readonly kind: 'unreadable'; readonly error: WalgError }

const COMPARE_BYTES = 1 << 18

interface Compared {
  readonly storage: Storage
  readonly codec: Codec
  readonly source: WalSource
  readonly found: FoundPayload
}

/** Reads the archived object and compares it with the local file, byte for byte, in bounded memory. */
export async function judgeArchived(input: Compared): Promise<Verdict> {
  const { source, found, codec } = input
  const stored = nothingSeen()
  let position = 0
  try {
    const isEqual = await readArchived(input, stored, archived => {
      if (!equalsLocal(source, position, archived)) return false
      position += archived.length
      return true
    })
    if (!isEqual) return await judgeDifferent(input)
  } catch (error) {
    if (hasCode(error, 'FORMAT_TRUNCATED')) return judgeCut(input, stored, position, error)
    return verdictOfFailure(error)
  }
  if (position === source.sizeBytes) return { kind: 'identical' }
  // Without compression and encryption nothing marks the end of an object: a shorter one with equal bytes was cut.
  if (found.extension === '' && !codec.hasKeys) return judgeShorter(source, position)
  return await judgeDifferent(input)
}

/** An object sealed with an unknown key may look like a cut one: replacing it would lose what it holds. */
function judgeCut(
  { codec, found }: Compared,
  stored: StoredView,
  position: number,
  error: WalgError,
): Verdict {
  if (holdsNothing(stored) || isProvenCut(codec, found.extension, stored, position)) {
    return { kind: 'incomplete', reason: `cut after ${position} bytes of content` }
  }
  const message = `${error.message}; it may also be encrypted with a key that is not configured here`
  return { kind: 'damaged', error: new WalgError('FORMAT_TRUNCATED', message, { cause: error }) }
}

/** A segment says how long it is, a history does not: what ends with a line may be all of an older, shorter one. */
function judgeShorter(source: WalSource, position: number): Verdict {
  if (isEndOfText(source, position)) return { kind: 'different' }
  return { kind: 'incomplete', reason: `${position} of ${source.sizeBytes} bytes` }
}

/** Hands out the content until `take` has seen enough; true at the verified end of the object. */
async function readArchived(
  { storage, codec, found }: Compared,
  stored: StoredView,
  take: (bytes: Uint8Array) => boolean,
): Promise<boolean> {
  const reader = await codec.open(watchStored(await storage.openSource(found.key), stored), found.extension)
  stored.isOpened = true
  try {
    for (;;) {
      const bytes = await reader.next()
      if (bytes === null) return true
      if (!take(bytes)) return false
    }
  } finally {
    await reader.close()
  }
}

/**
 * Two clusters in one place, or one damaged object: people do different things about them. A second reading tells, because
 * most damage only shows behind the first wrong byte, at the end of a block or of the object. What reads records is loaded only
 * here: every push is a process of its own.
 */
async function judgeDifferent(input: Compared): Promise<Verdict> {
  const { name } = input.source
  const { openRecordChecker } = await import('../../../postgres/wal/record-checker.ts')
  const pages = isSegmentName(name) ? openSegmentChecker(name) : undefined
  const records = isSegmentName(name) ? openRecordChecker(name) : undefined
  try {
    await readArchived(input, nothingSeen(), bytes => {
      pages?.update(bytes)
      records?.update(bytes)
      return true
    })
    if (pages !== undefined) assertSegment(pages.end())
    records?.end()
    return { kind: 'different' }
  } catch (error) {
    if (isDamage(error) || hasCode(error, 'WAL_INVALID')) return { kind: 'damaged', error }
    return verdictOfFailure(error)
  }
}

function verdictOfFailure(error: unknown): Verdict {
  if (hasCode(error, 'OBJECT_NOT_FOUND')) return { kind: 'gone' }
  if (hasCode(error, 'DECRYPT_FAILED', 'KEY_INVALID', 'ACCESS_DENIED', 'FILE_ACCESS')) {
    return { kind: 'unreadable', error }
  }
  if (hasCode(error, 'FORMAT_INVALID', 'CHECKSUM_MISMATCH')) return { kind: 'damaged', error }
  throw error
}

function equalsLocal(source: WalSource, position: number, archived: Uint8Array): boolean {
  const local = new Uint8Array(Math.min(COMPARE_BYTES, archived.length))
  for (let at = 0; at < archived.length; ) {
    const wanted = Math.min(local.length, archived.length - at)
    let count = 0
    while (count < wanted) {
      const got = source.readAt(local.subarray(count, wanted), position + at + count)
      if (got === 0) return false
      count += got
    }
    if (Buffer.compare(local.subarray(0, wanted), archived.subarray(at, at + wanted)) !== 0) return false
    at += wanted
  }
  return true
}
