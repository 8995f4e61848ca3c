import type { EncryptionMethodName } from './description.ts'

/** The forms that can be told by their beginning; an object of libsodium looks like noise. */
export type StoredForm = Exclude<EncryptionMethodName, 'libsodium'>

const AWS_WRAPPED_KEY_BYTES = 184

/** Public-key algorithms of OpenPGP that encrypt. */
const PGP_ALGORITHMS: readonly number[] = [1, 2, 16, 18, 25, 26]

/** What an object that begins with `head` looks like; undefined: noise, or not encrypted. */
export function formOfHead(head: Uint8Array): StoredForm | undefined {
  if (beginsWith(head, 'yckms\x01')) return 'yckms'
  if (beginsWith(head, 'envelope-yc-kms\x01')) return 'envelope-openpgp'
  if (isOpenPgp(head)) return 'openpgp'
  if (head[AWS_WRAPPED_KEY_BYTES] === 0x20 && (head[AWS_WRAPPED_KEY_BYTES + 1] ?? 2) < 2) return 'awskms'
  return undefined
}

function beginsWith(head: Uint8Array, text: string): boolean {
  return [...text].every((character, index) => head[index] === character.charCodeAt(0))
}

/** A session key packet (version 3 or 6), or encrypted data without one. RFC 9580 4.2, 5.1. */
function isOpenPgp(head: Uint8Array): boolean {
  const first = head[0] ?? 0
  if ((first & 0x80) === 0) return false
  const isNewFormat = (first & 0x40) !== 0
  const tag = isNewFormat ? first & 0x3f : (first >> 2) & 0x0f
  if (tag !== 1 && tag !== 3) return false
  const oldLengthBytes = [1, 2, 4, 0][first & 3]!
  const length = head[1] ?? 0
  const newLengthBytes = length < 192 ? 1 : length < 224 ? 2 : 5
  const body = 1 + (isNewFormat ? newLengthBytes : oldLengthBytes)
  const version = head[body] ?? 0
  if (tag === 3) return version >= 4 && version <= 6
  if (version === 3) return PGP_ALGORITHMS.includes(head[body + 9] ?? 0)
  return version === 6 && PGP_ALGORITHMS.includes(head[body + 2 + (head[body + 1] ?? 0)] ?? 0)
}

const MAGICS: Readonly<Record<string, readonly string[]>> = {
  lz4: ['04224d18', '02214c18'],
  zst: ['28b52ffd'],
  gz: ['1f8b'],
  lzma: ['5d0000'],
  lzo: ['894c5a4f'],
}
const TAR_MAGIC_AT = 257

/** Beginnings that noise does not have. A stream of lzma by either program: lc 3, lp 0, pb 2, unknown size. */
const MARKS: Readonly<Record<string, RegExp>> = {
  lz4: /^(04224d18|02214c18)/,
  zst: /^28b52ffd/,
  lzma: /^5d0000.{4}(ff){8}/,
  lzo: /^894c5a4f000d0a1a0a/,
}
const MARK_BYTES_MAX = 16

/** True when the head is certainly that of an object compressed as `extension` says, and not encrypted. Brotli and gzip have no such mark. */
export function hasMark(head: Uint8Array, extension: string): boolean {
  const hex = Buffer.from(head.subarray(0, MARK_BYTES_MAX)).toString('hex')
  return MARKS[extension]?.test(hex) === true
}

/**
 * True when the head may be that of an object stored without encryption under `extension`. Brotli has no mark of its
 * own; objects that are not compressed are tar, WAL or text.
 */
export function looksPlain(head: Uint8Array, extension: string): boolean {
  if (head.length === 0 || extension === 'br') return true
  const magics = MAGICS[extension]
  if (magics !== undefined) {
    const hex = Buffer.from(head.subarray(0, 4)).toString('hex')
    if (magics.some(magic => hex.startsWith(magic))) return true
    // frames that are skipped, before or instead of data
    return (extension === 'lz4' || extension === 'zst') && /^5[0-9a-f]2a4d18$/.test(hex)
  }
  if (Buffer.from(head.subarray(TAR_MAGIC_AT, TAR_MAGIC_AT + 5)).toString('latin1') === 'ustar') return true
  if (head.length >= 20 && (head[1] === 0xd0 || head[1] === 0xd1) && (head[3] ?? 0xff) === 0) return true
  return head.every(byte => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d)
}
