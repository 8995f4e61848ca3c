// Page checksums of PostgreSQL: 32 lanes of FNV-1a over the words of a page, with the checksum field taken as
// zero, two rounds of zeros, the lanes folded by XOR, seeded with the block number, reduced to 1 … 65535.
// `seeds` is the address of the 32 initial lane values (u32, aligned to 16), `lanes` of 128 bytes of scratch.
const PRIME: u32 = 16777619
const FIELD: usize = 8
const UPPER: usize = 14

// @ts-ignore: decorator
@inline function round(sum: u32, word: u32): u32 {
  const mixed = sum ^ word
  return (mixed * PRIME) ^ (mixed >> 17)
}

// @ts-ignore: decorator
@inline function roundVector(sum: v128, words: v128, prime: v128): v128 {
  const mixed = v128.xor(sum, words)
  return v128.xor(i32x4.mul(mixed, prime), i32x4.shr_u(mixed, 17))
}

function foldVectors(page: usize, size: u32, seeds: usize): u32 {
  const prime = i32x4.splat(PRIME)
  let a = v128.load(seeds), b = v128.load(seeds, 16), c = v128.load(seeds, 32), d = v128.load(seeds, 48)
  let e = v128.load(seeds, 64), f = v128.load(seeds, 80), g = v128.load(seeds, 96), h = v128.load(seeds, 112)
  for (let at = page, end = page + size; at < end; at += 128) {
    a = roundVector(a, v128.load(at), prime)
    b = roundVector(b, v128.load(at, 16), prime)
    c = roundVector(c, v128.load(at, 32), prime)
    d = roundVector(d, v128.load(at, 48), prime)
    e = roundVector(e, v128.load(at, 64), prime)
    f = roundVector(f, v128.load(at, 80), prime)
    g = roundVector(g, v128.load(at, 96), prime)
    h = roundVector(h, v128.load(at, 112), prime)
  }
  const zero = i32x4.splat(0)
  for (let turn = 0; turn < 2; turn++) {
    a = roundVector(a, zero, prime)
    b = roundVector(b, zero, prime)
    c = roundVector(c, zero, prime)
    d = roundVector(d, zero, prime)
    e = roundVector(e, zero, prime)
    f = roundVector(f, zero, prime)
    g = roundVector(g, zero, prime)
    h = roundVector(h, zero, prime)
  }
  const left = v128.xor(v128.xor(a, b), v128.xor(c, d))
  const right = v128.xor(v128.xor(e, f), v128.xor(g, h))
  const all = v128.xor(left, right)
  return (
    <u32>i32x4.extract_lane(all, 0) ^ <u32>i32x4.extract_lane(all, 1) ^
    <u32>i32x4.extract_lane(all, 2) ^ <u32>i32x4.extract_lane(all, 3)
  )
}

function foldScalars(page: usize, size: u32, seeds: usize, lanes: usize): u32 {
  memory.copy(lanes, seeds, 128)
  for (let at = page, end = page + size; at < end; at += 128) {
    for (let lane: usize = 0; lane < 128; lane += 4) {
      store<u32>(lanes + lane, round(load<u32>(lanes + lane), load<u32>(at + lane)))
    }
  }
  let all: u32 = 0
  for (let lane: usize = 0; lane < 128; lane += 4) all ^= round(round(load<u32>(lanes + lane), 0), 0)
  return all
}

/** Checksum of the page of `size` bytes at `page`, which is block `block` of its fork. */
export function checksum(page: usize, size: u32, block: u32, seeds: usize, lanes: usize): u32 {
  const stored = load<u16>(page, FIELD)
  store<u16>(page, 0, FIELD)
  let sum: u32 = 0
  if (ASC_FEATURE_SIMD) sum = foldVectors(page, size, seeds)
  else sum = foldScalars(page, size, seeds, lanes)
  store<u16>(page, stored, FIELD)
  return ((sum ^ block) % 65535) + 1
}

function isZero(page: usize, size: u32): bool {
  for (let at = page, end = page + size; at < end; at += 8) if (load<u64>(at) != 0) return false
  return true
}

/**
 * Checks pages from `page` on, beginning with number `from` of `count`; the first is block `firstBlock`. Pages
 * whose LSN is within `startLsn` … `endLsn` are not judged; none is when the start is beyond the end. Returns the
 * number of the first damaged one, or `count`.
 */
export function verify(
  page: usize, size: u32, from: u32, count: u32, firstBlock: u32, startLsn: u64, endLsn: u64,
  seeds: usize, lanes: usize,
): u32 {
  for (let index = from; index < count; index++) {
    const at = page + <usize>index * <usize>size
    if (load<u16>(at, UPPER) == 0) {
      if (!isZero(at, size)) return index
      continue
    }
    const lsn = ((<u64>load<u32>(at)) << 32) | <u64>load<u32>(at, 4)
    if (lsn >= startLsn && lsn <= endLsn) continue
    if (checksum(at, size, firstBlock + index, seeds, lanes) != <u32>load<u16>(at, FIELD)) return index
  }
  return count
}
