import type { Codec } from '../../codec/codec.ts'
import { hasCode, type WalgError } from '../../kit/errors.ts'
import type { FoundPayload } from '../../repository/sealed.ts'
import type { Storage } from '../../storage/storage.ts'
import type { WalSource } from './wal-source.ts'

/** How an object in the archive compares with the local file of the same name. */
export type Verdict =
  | { readonly kind: 'identical' }
  | { readonly kind: 'different' }
  /** Cut short, and equal to the local file as far as it goes: what an interrupted, non-atomic upload leaves. */
  | { readonly kind: 'incomplete'; readonly reason: string }
  /** Not readable for want of a key or a permission: contents unknown. */
  | { readonly kind: 'unreadable'; readonly error: WalgError }

const COMPARE_BYTES = 1 << 18

/** Reads the archived object and compares it with the local file, byte for byte, in bounded memory. */
export async function judgeArchived(input: {
  readonly storage: Storage
  readonly codec: Codec
  readonly source: WalSource
  readonly found: FoundPayload
}): Promise<Verdict> {
  const { storage, codec, source, found } = input
  let position = 0
  try {
    const reader = await codec.open(await storage.openSource(found.key), found.extension)
    try {
      for (;;) {
        const archived = await reader.next()
        if (archived === null) break
        if (!equalsLocal(source, position, archived)) return { kind: 'different' }
        position += archived.length
      }
    } finally {
      await reader.close()
    }
  } catch (error) {
    return verdictOfFailure(error, position)
  }
  if (position === source.sizeBytes) return { kind: 'identical' }
  // Without compression nothing marks the end of an object: a shorter one with equal bytes was cut.
  if (found.extension === '')
    return { kind: 'incomplete', reason: `${position} of ${source.sizeBytes} bytes` }
  return { kind: 'different' }
}

function verdictOfFailure(error: unknown, comparedBytes: number): Verdict {
  if (hasCode(error, 'FORMAT_TRUNCATED')) {
    return { kind: 'incomplete', reason: `cut after ${comparedBytes} bytes of content` }
  }
  if (hasCode(error, 'DECRYPT_FAILED', 'KEY_INVALID', 'ACCESS_DENIED', 'FILE_ACCESS')) {
    return { kind: 'unreadable', error }
  }
  if (hasCode(error, 'FORMAT_INVALID', 'CHECKSUM_MISMATCH')) return { kind: 'different' }
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
