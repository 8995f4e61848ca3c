// CRC-32C, sixteen bytes per step. `tables` is the address of sixteen tables of 256 u32, filled by the host: table
// k holds what a byte contributes when k more bytes follow it.
const STEP: usize = 16

// @ts-ignore: decorator
@inline function part(tables: usize, following: usize, bits: u64): u32 {
  return load<u32>(tables + (following << 10) + (<usize>(bits & 0xff) << 2))
}

/** Continues the running (inverted) value `crc` over `count` bytes at `address`. */
export function update(crc: u32, address: usize, count: usize, tables: usize): u32 {
  let at = address
  const end = address + count
  for (; at + STEP <= end; at += STEP) {
    const low = load<u64>(at) ^ <u64>crc
    const high = load<u64>(at, 8)
    crc =
      part(tables, 15, low) ^ part(tables, 14, low >> 8) ^ part(tables, 13, low >> 16) ^ part(tables, 12, low >> 24) ^
      part(tables, 11, low >> 32) ^ part(tables, 10, low >> 40) ^ part(tables, 9, low >> 48) ^ part(tables, 8, low >> 56) ^
      part(tables, 7, high) ^ part(tables, 6, high >> 8) ^ part(tables, 5, high >> 16) ^ part(tables, 4, high >> 24) ^
      part(tables, 3, high >> 32) ^ part(tables, 2, high >> 40) ^ part(tables, 1, high >> 48) ^ part(tables, 0, high >> 56)
  }
  for (; at < end; at++) crc = part(tables, 0, <u64>(crc ^ <u32>load<u8>(at))) ^ (crc >> 8)
  return crc
}
