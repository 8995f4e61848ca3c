/**
 * CRC-32C (Castagnoli), PostgreSQL's checksum for WAL records, pg_control and backup manifests. Eight bytes per
 * step from eight tables. The running value is kept inverted: begin with `CRC32C_BEGIN`, close with `endCrc32c`.
 */
export const CRC32C_BEGIN: number = 0xffffffff | 0

let tables: Int32Array | undefined

/** Continues `crc` over `bytes[begin, end)`. */
export function updateCrc32c(
  crc: number,
  bytes: Uint8Array,
  begin: number = 0,
  end: number = bytes.length,
): number {
  tables ??= buildCrc32cTables(8)
  const table = tables
  let value = crc
  let at = begin
  for (const last = end - 8; at <= last; at += 8) {
    value ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    value =
      table[0x700 | (value & 0xff)]! ^
      table[0x600 | ((value >>> 8) & 0xff)]! ^
      table[0x500 | ((value >>> 16) & 0xff)]! ^
      table[0x400 | (value >>> 24)]! ^
      table[0x300 | bytes[at + 4]!]! ^
      table[0x200 | bytes[at + 5]!]! ^
      table[0x100 | bytes[at + 6]!]! ^
      table[bytes[at + 7]!]!
  }
  for (; at < end; at++) value = table[(value ^ bytes[at]!) & 0xff]! ^ (value >>> 8)
  return value
}

/** The checksum as an unsigned number. */
export function endCrc32c(crc: number): number {
  return (crc ^ -1) >>> 0
}

/** Checksum of one piece. */
export function crc32c(bytes: Uint8Array): number {
  return endCrc32c(updateCrc32c(CRC32C_BEGIN, bytes))
}

/** `count` tables of 256: table k holds what a byte contributes when k more bytes follow it. */
export function buildCrc32cTables(count: number): Int32Array {
  const made = new Int32Array(count * 256)
  for (let index = 0; index < 256; index++) {
    let value = index
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
    made[index] = value
  }
  for (let index = 256; index < made.length; index++) {
    const previous = made[index - 256]!
    made[index] = made[previous & 0xff]! ^ (previous >>> 8)
  }
  return made
}
