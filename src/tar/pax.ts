import { WalgError } from '../kit/errors.ts'
import { type UnpackedMember, unsupportedSparse } from './header.ts'

/** Records of an extended header; values as bytes, because names need not be UTF-8. */
export type PaxRecords = ReadonlyMap<string, Uint8Array>

const decoder = new TextDecoder('utf-8')

/** Parses `<length> <key>=<value>\n` …; throws FORMAT_INVALID naming `archive`. */
export function parsePaxRecords(bytes: Uint8Array, archive: string): PaxRecords {
  const records = new Map<string, Uint8Array>()
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at)
    const length = space < 0 ? Number.NaN : Number(decoder.decode(bytes.subarray(at, space)))
    const end = at + length
    const equals = bytes.indexOf(0x3d, space)
    if (!(end <= bytes.length) || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a) {
      throw new WalgError('FORMAT_INVALID', `"${archive}" is damaged: broken PAX record`, {
        facts: { archive },
      })
    }
    records.set(decoder.decode(bytes.subarray(space + 1, equals)), bytes.subarray(equals + 1, end - 1))
    at = end
  }
  return records
}

/** Lets the records (own ones before global ones) replace what the header says; returns the same member. */
export function applyPaxRecords(
  member: UnpackedMember,
  globals: PaxRecords,
  own: PaxRecords | undefined,
  archive: string,
): UnpackedMember {
  if (own === undefined && globals.size === 0) return member
  for (const key of [...globals.keys(), ...(own?.keys() ?? [])]) {
    if (key.startsWith('GNU.sparse.')) throw unsupportedSparse(archive)
  }
  const record = (key: string): Uint8Array | undefined => own?.get(key) ?? globals.get(key)
  // an empty value takes a global record back
  const path = record('path')
  if (path !== undefined && path.length > 0) member.rename(path)
  const linkPath = record('linkpath')
  if (linkPath !== undefined && linkPath.length > 0) member.relink(linkPath)
  const size = record('size')
  if (size !== undefined && size.length > 0 && !'123456'.includes(member.typeFlag)) {
    member.sizeBytes = wholeNumber(size, 'size', archive)
  }
  const mtime = record('mtime')
  if (mtime !== undefined && mtime.length > 0) member.mtimeSeconds = seconds(mtime, archive)
  return member
}

function seconds(bytes: Uint8Array, archive: string): number {
  const text = decoder.decode(bytes)
  if (/^-?\d+(\.\d*)?$/.test(text)) return Math.floor(Number(text))
  throw new WalgError('FORMAT_INVALID', `"${archive}" is damaged: PAX mtime "${text}"`, {
    facts: { archive },
  })
}

function wholeNumber(bytes: Uint8Array, key: string, archive: string): number {
  const text = decoder.decode(bytes)
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) {
    throw new WalgError('FORMAT_INVALID', `"${archive}" is damaged: PAX ${key} "${text}"`, {
      facts: { archive },
    })
  }
  return value
}
