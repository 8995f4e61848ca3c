import type { Codec } from '../../../codec/codec.ts'
import { hasMark, looksPlain } from '../../../codec/encryption/stored-form.ts'
import type { ByteSource } from '../../../kit/bytes.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { WalSource } from '../wal-source.ts'

/** What is seen of a stored object while its content is read. */
export interface StoredView {
  /** Its first bytes, as stored. */
  head: Uint8Array
  sizeBytes: number
  isEndSeen: boolean
  /** Its encryption, if it has one, was taken for one of ours. */
  isOpened: boolean
}

const HEAD_BYTES = 512
/** Fewer stored bytes hold no content in any form, sealed or not. */
const STORED_BYTES_MIN = 4
/** That what noise decodes to begins with so many bytes of the local file does not happen. */
const EQUAL_BYTES_MIN = 32
/** Stored bytes for which a compressor may have given out no content yet: code tables. */
const PENDING_BYTES_MAX = 1024

export function nothingSeen(): StoredView {
  return { head: new Uint8Array(0), sizeBytes: 0, isEndSeen: false, isOpened: false }
}

/** Notes in `view` what is read. An object that is replaced meanwhile is no cut one: STORAGE_UNAVAILABLE, to be tried again. */
export function watchStored(source: ByteSource, view: StoredView): ByteSource {
  const note = (into: Uint8Array, count: number): number => {
    if (count === 0) view.isEndSeen = true
    if (view.head.length < HEAD_BYTES) {
      const more = into.subarray(0, Math.min(count, HEAD_BYTES - view.head.length))
      view.head = Buffer.concat([view.head, more])
    }
    view.sizeBytes += count
    return count
  }
  return {
    read(into) {
      try {
        const got = source.read(into)
        if (!(got instanceof Promise)) return note(into, got)
        return got.then(
          count => note(into, count),
          error => {
            throw notCut(error)
          },
        )
      } catch (error) {
        throw notCut(error)
      }
    },
    close: () => source.close(),
  }
}

function notCut(error: unknown): unknown {
  if (!hasCode(error, 'FORMAT_TRUNCATED')) return error
  return new WalgError('STORAGE_UNAVAILABLE', error.message, {
    facts: error.facts,
    cause: error,
    hint: error.hint ?? 'run the command again',
  })
}

export function holdsNothing(stored: StoredView): boolean {
  return stored.isEndSeen && stored.sizeBytes < STORED_BYTES_MIN
}

/**
 * True when the stored object is certainly of its form, and cut: a key has opened its beginning, it bears the mark of its
 * compression, or its content, `equalBytes` of which equal the local file, accounts for its size. Brotli has no
 * mark: what is sealed with an unknown key may pass for a brotli stream that was cut before its first byte of content.
 */
export function isProvenCut(
  codec: Codec,
  extension: string,
  stored: StoredView,
  equalBytes: number,
): boolean {
  if (!stored.isEndSeen) return false
  const isOpenedByKey =
    codec.hasKeys && stored.isOpened && !(codec.readsPlain && looksPlain(stored.head, extension))
  if (isOpenedByKey || hasMark(stored.head, extension)) return true
  return equalBytes >= EQUAL_BYTES_MIN && stored.sizeBytes <= equalBytes + PENDING_BYTES_MAX
}

/** True when the first `sizeBytes` of a file that is no WAL end with a line. */
export function isEndOfText(source: WalSource, sizeBytes: number): boolean {
  if (/^[0-9A-F]{24}(\.partial)?$/.test(source.name)) return false
  const last = new Uint8Array(1)
  return source.readAt(last, sizeBytes - 1) === 1 && last[0] === 0x0a
}
