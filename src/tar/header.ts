import { isZero } from '../kit/bytes.ts'
import { WalgError } from '../kit/errors.ts'

export type UnpackedKind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'other'

const KINDS: Readonly<Record<string, UnpackedKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
}
const CHECKSUM_AT = 148
const CHECKSUM_END = 156
const strict = new TextDecoder('utf-8', { fatal: true })
const lenient = new TextDecoder('utf-8')

/** One member as read from an archive. */
export class UnpackedMember {
  readonly typeFlag: string
  /** As stored; bytes that are not UTF-8 show as U+FFFD, then `nameBytes` has the truth. */
  name: string
  nameBytes: Uint8Array | undefined
  linkName: string
  /** Bytes of content that follow. */
  sizeBytes: number
  /** Permission, setuid, setgid and sticky bits. */
  readonly mode: number
  /** Whole seconds since 1970. */
  mtimeSeconds: number

  constructor(typeFlag: string, name: Uint8Array, linkName: Uint8Array, mode: number) {
    this.typeFlag = typeFlag
    this.name = ''
    this.linkName = lenient.decode(linkName)
    this.sizeBytes = 0
    this.mode = mode & 0o7777
    this.mtimeSeconds = 0
    this.rename(name)
  }

  get kind(): UnpackedKind {
    const kind = KINDS[this.typeFlag] ?? 'other'
    // archives older than POSIX say "directory" with a final slash
    return kind === 'file' && this.name.endsWith('/') ? 'directory' : kind
  }

  rename(bytes: Uint8Array): void {
    this.nameBytes = undefined
    try {
      this.name = strict.decode(bytes)
    } catch {
      this.name = lenient.decode(bytes)
      this.nameBytes = bytes.slice()
    }
  }

  relink(bytes: Uint8Array): void {
    this.linkName = lenient.decode(bytes)
  }
}

/**
 * Reads the header at `bytes[at … at+512)`; null for a block of zeros. Throws FORMAT_INVALID naming `archive` for a
 * wrong checksum or number, FORMAT_UNSUPPORTED for a sparse member.
 */
export function readTarHeader(bytes: Uint8Array, at: number, archive: string): UnpackedMember | null {
  if (bytes[at] === 0 && isZero(bytes, at, at + 512)) return null
  checkSum(bytes, at, archive)
  const typeFlag = String.fromCharCode(bytes[at + 156]!)
  if (typeFlag === 'S') throw unsupportedSparse(archive)
  const member = new UnpackedMember(
    typeFlag,
    readName(bytes, at),
    field(bytes, at + 157, 100),
    readNumber(bytes, at + 100, 8, archive),
  )
  member.sizeBytes = readNumber(bytes, at + 124, 12, archive)
  if (member.sizeBytes < 0) throw damagedNumber(archive)
  member.mtimeSeconds = readNumber(bytes, at + 136, 12, archive)
  // links, devices and pipes have no content, whatever their size field says
  if ('123456'.includes(typeFlag)) member.sizeBytes = 0
  return member
}

export function unsupportedSparse(archive: string): WalgError {
  return new WalgError('FORMAT_UNSUPPORTED', `"${archive}" has a sparse member, which cannot be unpacked`, {
    facts: { archive },
  })
}

function checkSum(bytes: Uint8Array, at: number, archive: string): void {
  const told = readNumber(bytes, at + CHECKSUM_AT, 8, archive)
  // the checksum counts its own field as eight spaces; some old writers summed signed bytes
  let sum = 8 * 0x20
  let signedSum = sum
  for (let i = 0; i < 512; i++) {
    if (i >= CHECKSUM_AT && i < CHECKSUM_END) continue
    const byte = bytes[at + i]!
    sum += byte
    signedSum += byte < 128 ? byte : byte - 256
  }
  if (told !== sum && told !== signedSum) {
    throw new WalgError('FORMAT_INVALID', `"${archive}" is damaged: wrong checksum in a tar header`, {
      facts: { archive },
    })
  }
}

/** prefix/name where the header is POSIX's own. */
function readName(bytes: Uint8Array, at: number): Uint8Array {
  const name = field(bytes, at, 100)
  const isPosix = bytes[at + 257] === 0x75 && bytes[at + 262] === 0
  if (!isPosix || bytes[at + 345] === 0) return name
  const prefix = field(bytes, at + 345, 155)
  const whole = new Uint8Array(prefix.length + 1 + name.length)
  whole.set(prefix)
  whole[prefix.length] = 0x2f
  whole.set(name, prefix.length + 1)
  return whole
}

function field(bytes: Uint8Array, at: number, length: number): Uint8Array {
  let end = at
  while (end < at + length && bytes[end] !== 0) end++
  return bytes.subarray(at, end)
}

/** Octal digits between spaces and NULs, or GNU's base 256. */
function readNumber(bytes: Uint8Array, at: number, length: number, archive: string): number {
  const first = bytes[at]!
  let value = 0
  if (first & 0x80) {
    const isNegative = (first & 0x40) !== 0
    value = isNegative ? (first & 0x7f) - 128 : first & 0x3f
    for (let i = at + 1; i < at + length; i++) value = value * 256 + bytes[i]!
  } else {
    let i = at
    while (i < at + length && bytes[i] === 0x20) i++
    for (; i < at + length; i++) {
      const digit = bytes[i]! - 0x30
      if (digit < 0 || digit > 7) break
      value = value * 8 + digit
    }
    for (; i < at + length; i++) if (bytes[i] !== 0x20 && bytes[i] !== 0) value = Number.NaN
  }
  if (!Number.isSafeInteger(value)) throw damagedNumber(archive)
  return value
}

function damagedNumber(archive: string): WalgError {
  return new WalgError('FORMAT_INVALID', `"${archive}" is damaged: a number in a tar header is no number`, {
    facts: { archive },
  })
}
