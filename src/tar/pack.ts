/**
 * Writes tar in the dialect of Go's archive/tar (storage-format 1.6): USTAR where it can say it, otherwise a PAX
 * extended header in front. Pure functions over the caller's memory: the packing loop writes straight into the
 * compressor's block.
 */

export const TAR_BLOCK_BYTES = 512
/** The end of an archive: two blocks of zeroes. */
export const TAR_END_BYTES: number = 2 * TAR_BLOCK_BYTES

/** No header is larger: the names in it are paths of at most 4096 bytes. */
export const TAR_HEADER_BYTES_MAX = 16_384

export type TarKind = 'file' | 'directory' | 'symlink' | 'fifo'

export interface TarMember {
  /** As stored, e.g. `/base/1/1259`; not empty, without NUL. */
  readonly name: string
  readonly kind: TarKind
  /** Bytes of content that follow; 0 for everything but files. */
  readonly sizeBytes: number
  /** Only permission, setuid, setgid and sticky bits are stored. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Stored rounded to the nearest second. */
  readonly mtimeNs: bigint
  readonly linkName?: string
}

const TYPE_FLAGS: Readonly<Record<TarKind, number>> = {
  file: 0x30,
  directory: 0x35,
  symlink: 0x32,
  fifo: 0x36,
}
const TYPE_FLAG_PAX = 0x78
const NAME_BYTES = 100
const PREFIX_BYTES = 155
const ID_MAX = 0o7777777
const NUMBER_MAX = 0o77777777777
const CHECKSUM_AT = 148
const DIGIT_ZERO = 0x30
const encoder = new TextEncoder()
// biome-ignore lint/suspicious/noControlCharactersInRegex: the range is what ASCII means
const ASCII = /^[\x00-\x7f]*$/

/** Zero bytes that follow a content of `sizeBytes`, up to the next block. */
export function tarPaddingBytes(sizeBytes: number): number {
  const rest = sizeBytes % TAR_BLOCK_BYTES
  return rest === 0 ? 0 : TAR_BLOCK_BYTES - rest
}

/** The size of a member's header, PAX records included: a multiple of 512. */
export function tarHeaderBytes(member: TarMember): number {
  const records = paxRecords(member, roundToSeconds(member.mtimeNs))
  if (records === undefined) return TAR_BLOCK_BYTES
  const size = encoder.encode(records).length
  return TAR_BLOCK_BYTES + size + tarPaddingBytes(size) + TAR_BLOCK_BYTES
}

/**
 * Writes the header of `member` at `into[at…]` and returns its size, `tarHeaderBytes(member)`. Throws RangeError
 * when it does not fit: nothing is written beyond the array.
 */
export function encodeTarHeader(into: Uint8Array, at: number, member: TarMember): number {
  const mtimeSeconds = roundToSeconds(member.mtimeNs)
  const records = paxRecords(member, mtimeSeconds)
  if (records === undefined) {
    checkRoom(into, at, TAR_BLOCK_BYTES)
    const split = splitName(member.name)!
    writeBlock(into, at, member, split.name, split.prefix, member.linkName ?? '', mtimeSeconds)
    return TAR_BLOCK_BYTES
  }
  const body = encoder.encode(records)
  const paxBytes = TAR_BLOCK_BYTES + body.length + tarPaddingBytes(body.length)
  checkRoom(into, at, paxBytes + TAR_BLOCK_BYTES)
  writeBlock(
    into,
    at,
    paxHeaderOf(member.name, body.length),
    paxNameOf(member.name),
    '',
    '',
    0,
    TYPE_FLAG_PAX,
  )
  into.fill(0, at + TAR_BLOCK_BYTES, at + paxBytes)
  into.set(body, at + TAR_BLOCK_BYTES)
  const name = cutAscii(member.name, NAME_BYTES)
  writeBlock(into, at + paxBytes, member, name, '', cutAscii(member.linkName ?? '', NAME_BYTES), mtimeSeconds)
  return paxBytes + TAR_BLOCK_BYTES
}

/** Nanoseconds to the nearest second, halves up. */
function roundToSeconds(timeNs: bigint): number {
  const shiftedNs = timeNs + 500_000_000n
  const restNs = shiftedNs % 1_000_000_000n
  const seconds = Number(shiftedNs / 1_000_000_000n)
  return restNs < 0n ? seconds - 1 : seconds
}

/** The PAX records that `member` needs, keys sorted; undefined when USTAR can say it all. */
function paxRecords(member: TarMember, mtimeSeconds: number): string | undefined {
  const linkName = member.linkName ?? ''
  const needs: string[] = []
  if (member.gid > ID_MAX) needs.push(paxRecord('gid', String(member.gid)))
  if (linkName.length > NAME_BYTES || !ASCII.test(linkName)) needs.push(paxRecord('linkpath', linkName))
  if (mtimeSeconds < 0 || mtimeSeconds > NUMBER_MAX) needs.push(paxRecord('mtime', String(mtimeSeconds)))
  if (splitName(member.name) === undefined) needs.push(paxRecord('path', member.name))
  if (member.sizeBytes > NUMBER_MAX) needs.push(paxRecord('size', String(member.sizeBytes)))
  if (member.uid > ID_MAX) needs.push(paxRecord('uid', String(member.uid)))
  return needs.length === 0 ? undefined : needs.join('')
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const restBytes = encoder.encode(` ${key}=${value}\n`).length
  let lengthBytes = restBytes + String(restBytes).length
  if (restBytes + String(lengthBytes).length !== lengthBytes) lengthBytes += 1
  return `${lengthBytes} ${key}=${value}\n`
}

/** The USTAR form of a name, or undefined when it has none. */
function splitName(name: string): { readonly name: string; readonly prefix: string } | undefined {
  if (!ASCII.test(name)) return undefined
  if (name.length <= NAME_BYTES) return { name, prefix: '' }
  const slash = name.lastIndexOf('/', PREFIX_BYTES)
  const tailLength = name.length - slash - 1
  if (slash <= 0 || tailLength === 0 || tailLength > NAME_BYTES) return undefined
  return { name: name.slice(slash + 1), prefix: name.slice(0, slash) }
}

function paxNameOf(name: string): string {
  const slash = name.lastIndexOf('/')
  const whole = `${name.slice(0, slash + 1)}PaxHeaders.0/${name.slice(slash + 1)}`
  return cutAscii(whole, NAME_BYTES).replace(/\/+$/, '')
}

function paxHeaderOf(name: string, sizeBytes: number): TarMember {
  return { name, kind: 'file', sizeBytes, mode: 0, uid: 0, gid: 0, mtimeNs: 0n }
}

/** What is left of a text in a header whose PAX record holds the whole of it. */
function cutAscii(text: string, lengthMax: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: everything that is not ASCII goes
  return text.replace(/[^\x00-\x7f]/g, '').slice(0, lengthMax)
}

function writeBlock(
  into: Uint8Array,
  at: number,
  member: TarMember,
  name: string,
  prefix: string,
  linkName: string,
  mtimeSeconds: number,
  typeFlag: number = TYPE_FLAGS[member.kind],
): void {
  into.fill(0, at, at + TAR_BLOCK_BYTES)
  // Summed up while it is written: most of a header is zero. The checksum counts its own field as eight spaces.
  let sum = 8 * 0x20 + typeFlag
  sum += writeAscii(into, at, name)
  sum += writeOctal(into, at + 100, 8, member.mode & 0o7777)
  sum += writeOctal(into, at + 108, 8, member.uid > ID_MAX ? 0 : member.uid)
  sum += writeOctal(into, at + 116, 8, member.gid > ID_MAX ? 0 : member.gid)
  sum += writeOctal(into, at + 124, 12, member.sizeBytes > NUMBER_MAX ? 0 : member.sizeBytes)
  sum += writeOctal(into, at + 136, 12, mtimeSeconds < 0 || mtimeSeconds > NUMBER_MAX ? 0 : mtimeSeconds)
  into[at + 156] = typeFlag
  sum += writeAscii(into, at + 157, linkName)
  sum += writeAscii(into, at + 257, 'ustar\x0000')
  if (typeFlag !== TYPE_FLAG_PAX) {
    sum += writeOctal(into, at + 329, 8, 0)
    sum += writeOctal(into, at + 337, 8, 0)
  }
  sum += writeAscii(into, at + 345, prefix)
  writeOctal(into, at + CHECKSUM_AT, 7, sum)
  into[at + CHECKSUM_AT + 7] = 0x20
}

/** Returns the sum of the bytes. */
function writeAscii(into: Uint8Array, at: number, text: string): number {
  let sum = 0
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i)
    into[at + i] = byte
    sum += byte
  }
  return sum
}

/** `width - 1` octal digits and a NUL; returns the sum of the bytes. */
function writeOctal(into: Uint8Array, at: number, width: number, value: number): number {
  let sum = (width - 1) * DIGIT_ZERO
  let rest = value
  for (let i = at + width - 2; i >= at; i--) {
    const digit = rest % 8
    into[i] = DIGIT_ZERO + digit
    sum += digit
    rest = Math.floor(rest / 8)
  }
  into[at + width - 1] = 0
  return sum
}

function checkRoom(into: Uint8Array, at: number, bytes: number): void {
  if (at < 0 || at + bytes > into.length) throw new RangeError(`a tar header of ${bytes} bytes does not fit`)
}
