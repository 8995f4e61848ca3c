// XXH3, 128 bits, seed 0, streaming, after the public description of the algorithm (xxhash_spec.md).
// A state is 672 bytes at a 64-byte boundary, laid out below; all memory is the caller's.

const ACCUMULATORS: usize = 0; // 8 x u64
const SECRET: usize = 64; // 192 bytes, the default secret
const BUFFER: usize = 256; // 256 bytes that have not been consumed; its tail keeps the last stripe
const BUFFERED: usize = 512; // u32
const STRIPES: usize = 516; // u32, stripes consumed in the current block
const TOTAL: usize = 520; // u64, bytes seen
const HELD: usize = 544; // 64 bytes for accumulators set aside, then 64 for a scratch stripe

const BUFFER_BYTES: u32 = 256;
const STRIPE_BYTES: u32 = 64;
const STRIPES_PER_BLOCK: u32 = 16;

const P32_1: u64 = 0x9e3779b1;
const P32_2: u64 = 0x85ebca77;
const P32_3: u64 = 0xc2b2ae3d;
const P64_1: u64 = 0x9e3779b185ebca87;
const P64_2: u64 = 0xc2b2ae3d27d4eb4f;
const P64_3: u64 = 0x165667b19e3779f9;
const P64_4: u64 = 0x85ebca77c2b2ae63;
const P64_5: u64 = 0x27d4eb2f165667c5;
const PMX_1: u64 = 0x165667919e3779f9;
const PMX_2: u64 = 0x9fb21c651e98df25;

/** The default secret, 24 words, little-endian. Stored by code: the modules that share a memory have no data of their own. */
function storeSecret(at: usize): void {
  store<u64>(at, 0xbe4ba423396cfeb8, 0);
  store<u64>(at, 0x1cad21f72c81017c, 8);
  store<u64>(at, 0xdb979083e96dd4de, 16);
  store<u64>(at, 0x1f67b3b7a4a44072, 24);
  store<u64>(at, 0x78e5c0cc4ee679cb, 32);
  store<u64>(at, 0x2172ffcc7dd05a82, 40);
  store<u64>(at, 0x8e2443f7744608b8, 48);
  store<u64>(at, 0x4c263a81e69035e0, 56);
  store<u64>(at, 0xcb00c391bb52283c, 64);
  store<u64>(at, 0xa32e531b8b65d088, 72);
  store<u64>(at, 0x4ef90da297486471, 80);
  store<u64>(at, 0xd8acdea946ef1938, 88);
  store<u64>(at, 0x3f349ce33f76faa8, 96);
  store<u64>(at, 0x1d4f0bc7c7bbdcf9, 104);
  store<u64>(at, 0x3159b4cd4be0518a, 112);
  store<u64>(at, 0x647378d9c97e9fc8, 120);
  store<u64>(at, 0xc3ebd33483acc5ea, 128);
  store<u64>(at, 0xeb6313faffa081c5, 136);
  store<u64>(at, 0x49daf0b751dd0d17, 144);
  store<u64>(at, 0x9e68d429265516d3, 152);
  store<u64>(at, 0xfca1477d58be162b, 160);
  store<u64>(at, 0xce31d07ad1b8f88f, 168);
  store<u64>(at, 0x280416958f3acb45, 176);
  store<u64>(at, 0x7e404bbbcafbd7af, 184);
}

export function reset(state: usize): void {
  const acc = state + ACCUMULATORS;
  store<u64>(acc, P32_3, 0);
  store<u64>(acc, P64_1, 8);
  store<u64>(acc, P64_2, 16);
  store<u64>(acc, P64_3, 24);
  store<u64>(acc, P64_4, 32);
  store<u64>(acc, P32_2, 40);
  store<u64>(acc, P64_5, 48);
  store<u64>(acc, P32_1, 56);
  storeSecret(state + SECRET);
  store<u32>(state, 0, BUFFERED);
  store<u32>(state, 0, STRIPES);
  store<u64>(state, 0, TOTAL);
}

// @ts-ignore: decorator
@inline function high64(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff, aHigh = a >> 32;
  const bLow = b & 0xffffffff, bHigh = b >> 32;
  const middle = aHigh * bLow + ((aLow * bLow) >> 32);
  const other = aLow * bHigh + (middle & 0xffffffff);
  return aHigh * bHigh + (middle >> 32) + (other >> 32);
}
// @ts-ignore: decorator
@inline function foldedProduct(a: u64, b: u64): u64 { return (a * b) ^ high64(a, b); }
// @ts-ignore: decorator
@inline function avalanche(h: u64): u64 { h ^= h >> 37; h *= PMX_1; return h ^ (h >> 32); }
// @ts-ignore: decorator
@inline function avalanche64(h: u64): u64 { h ^= h >> 33; h *= P64_2; h ^= h >> 29; h *= P64_3; return h ^ (h >> 32); }
// @ts-ignore: decorator
@inline function mix16(input: usize, secret: usize): u64 {
  return foldedProduct(load<u64>(input) ^ load<u64>(secret), load<u64>(input, 8) ^ load<u64>(secret, 8));
}
// @ts-ignore: decorator
@inline function sum16(input: usize): u64 { return load<u64>(input) + load<u64>(input, 8); }

/** Canonical form: big-endian, high half first. */
function storeDigest(target: usize, low: u64, high: u64): void {
  store<u64>(target, bswap<u64>(high));
  store<u64>(target, bswap<u64>(low), 8);
}

/** Consumes whole stripes, scrambling after every block of 16; returns the count of stripes in the open block. */
function consume(state: usize, input: usize, count: u32, stripes: u32): u32 {
  const acc = state + ACCUMULATORS, secret = state + SECRET;
  while (count > 0) {
    const n = min<u32>(STRIPES_PER_BLOCK - stripes, count);
    accumulate(acc, input, secret + (<usize>stripes << 3), n);
    input += <usize>n << 6;
    count -= n;
    stripes += n;
    if (stripes == STRIPES_PER_BLOCK) {
      scramble(acc, secret + 128);
      stripes = 0;
    }
  }
  return stripes;
}

function scramble(acc: usize, secret: usize): void {
  for (let i: usize = 0; i < 64; i += 8) {
    let h = load<u64>(acc + i);
    h ^= h >> 47;
    h ^= load<u64>(secret + i);
    store<u64>(acc + i, h * P32_1);
  }
}

// @ts-ignore: decorator
@inline function product32(key: v128): v128 {
  return i64x2.extmul_low_i32x4_u(
    v128.shuffle<i32>(key, key, 0, 2, 0, 2),
    v128.shuffle<i32>(key, key, 1, 3, 1, 3),
  );
}

function accumulate(acc: usize, input: usize, secret: usize, count: u32): void {
  if (ASC_FEATURE_SIMD) {
    let a = v128.load(acc), b = v128.load(acc, 16), c = v128.load(acc, 32), d = v128.load(acc, 48);
    for (const end = input + (<usize>count << 6); input < end; input += 64, secret += 8) {
      const w = v128.load(input), x = v128.load(input, 16), y = v128.load(input, 32), z = v128.load(input, 48);
      a = i64x2.add(i64x2.add(a, v128.shuffle<i64>(w, w, 1, 0)), product32(v128.xor(w, v128.load(secret))));
      b = i64x2.add(i64x2.add(b, v128.shuffle<i64>(x, x, 1, 0)), product32(v128.xor(x, v128.load(secret, 16))));
      c = i64x2.add(i64x2.add(c, v128.shuffle<i64>(y, y, 1, 0)), product32(v128.xor(y, v128.load(secret, 32))));
      d = i64x2.add(i64x2.add(d, v128.shuffle<i64>(z, z, 1, 0)), product32(v128.xor(z, v128.load(secret, 48))));
    }
    v128.store(acc, a);
    v128.store(acc, b, 16);
    v128.store(acc, c, 32);
    v128.store(acc, d, 48);
  } else {
    for (const end = input + (<usize>count << 6); input < end; input += 64, secret += 8) {
      for (let i: usize = 0; i < 64; i += 16) {
        const p = load<u64>(input + i), q = load<u64>(input + i, 8);
        const k = p ^ load<u64>(secret + i), l = q ^ load<u64>(secret + i, 8);
        store<u64>(acc + i, load<u64>(acc + i) + q + (k & 0xffffffff) * (k >> 32));
        store<u64>(acc + i, load<u64>(acc + i, 8) + p + (l & 0xffffffff) * (l >> 32), 8);
      }
    }
  }
}

/**
 * The last byte of a message is never consumed here: `digest` needs to know which stripe is the last. So the
 * buffer is emptied only when more than it holds is there.
 */
export function update(state: usize, input: usize, count: u32): void {
  store<u64>(state, load<u64>(state, TOTAL) + <u64>count, TOTAL);
  const buffer = state + BUFFER;
  let buffered = load<u32>(state, BUFFERED);
  if (buffered + count <= BUFFER_BYTES) {
    memory.copy(buffer + buffered, input, count);
    store<u32>(state, buffered + count, BUFFERED);
    return;
  }
  let stripes = load<u32>(state, STRIPES);
  if (buffered > 0) {
    const missing = BUFFER_BYTES - buffered;
    memory.copy(buffer + buffered, input, missing);
    input += missing;
    count -= missing;
    stripes = consume(state, buffer, BUFFER_BYTES / STRIPE_BYTES, stripes);
  }
  if (count > BUFFER_BYTES) {
    const whole = (count - 1) / STRIPE_BYTES;
    stripes = consume(state, input, whole, stripes);
    input += whole * STRIPE_BYTES;
    count -= whole * STRIPE_BYTES;
    memory.copy(buffer + BUFFER_BYTES - STRIPE_BYTES, input - STRIPE_BYTES, STRIPE_BYTES);
  }
  memory.copy(buffer, input, count);
  store<u32>(state, count, BUFFERED);
  store<u32>(state, stripes, STRIPES);
}

/** Writes 16 bytes. The state is left as it was, so that the message may go on. */
export function digest(state: usize, target: usize): void {
  const total = load<u64>(state, TOTAL);
  if (total > 240) return digestLong(state, target, total);
  const size = <usize>total, input = state + BUFFER, secret = state + SECRET;
  if (size > 128) return digestTo240(input, size, secret, target);
  if (size > 16) return digestTo128(input, size, secret, target);
  if (size > 8) return digestTo16(input, size, secret, target);
  if (size >= 4) return digestTo8(input, size, secret, target);
  if (size > 0) return digestTo3(input, size, secret, target);
  storeDigest(
    target,
    avalanche64(load<u64>(secret, 64) ^ load<u64>(secret, 72)),
    avalanche64(load<u64>(secret, 80) ^ load<u64>(secret, 88)),
  );
}

function digestTo3(input: usize, size: usize, secret: usize, target: usize): void {
  const first = <u32>load<u8>(input), middle = <u32>load<u8>(input + (size >> 1)), last = <u32>load<u8>(input + size - 1);
  const low = (first << 16) | (middle << 24) | last | (<u32>size << 8);
  const high = rotl<u32>(bswap<u32>(low), 13);
  storeDigest(
    target,
    avalanche64(<u64>low ^ <u64>(load<u32>(secret) ^ load<u32>(secret, 4))),
    avalanche64(<u64>high ^ <u64>(load<u32>(secret, 8) ^ load<u32>(secret, 12))),
  );
}

function digestTo8(input: usize, size: usize, secret: usize, target: usize): void {
  const word = <u64>load<u32>(input) + (<u64>load<u32>(input + size - 4) << 32);
  const keyed = word ^ load<u64>(secret, 16) ^ load<u64>(secret, 24);
  const factor = P64_1 + (<u64>size << 2);
  let low = keyed * factor, high = high64(keyed, factor);
  high += low << 1;
  low ^= high >> 3;
  low ^= low >> 35;
  low *= PMX_2;
  low ^= low >> 28;
  storeDigest(target, low, avalanche(high));
}

function digestTo16(input: usize, size: usize, secret: usize, target: usize): void {
  const first = load<u64>(input);
  let last = load<u64>(input + size - 8);
  const mixed = first ^ last ^ load<u64>(secret, 32) ^ load<u64>(secret, 40);
  let low = mixed * P64_1, high = high64(mixed, P64_1);
  low += <u64>(size - 1) << 54;
  last ^= load<u64>(secret, 48) ^ load<u64>(secret, 56);
  high += last + (last & 0xffffffff) * (P32_2 - 1);
  low ^= bswap<u64>(high);
  storeDigest(target, avalanche(low * P64_2), avalanche(high64(low, P64_2) + high * P64_2));
}

function finishShort(low: u64, high: u64, size: usize, target: usize): void {
  storeDigest(target, avalanche(low + high), 0 - avalanche(low * P64_1 + high * P64_4 + <u64>size * P64_2));
}

function digestTo128(input: usize, size: usize, secret: usize, target: usize): void {
  let low = <u64>size * P64_1, high: u64 = 0;
  for (let i: usize = (size - 1) >> 5; ; i--) {
    const head = input + (i << 4), tail = input + size - ((i + 1) << 4);
    low = (low + mix16(head, secret + (i << 5))) ^ sum16(tail);
    high = (high + mix16(tail, secret + (i << 5) + 16)) ^ sum16(head);
    if (i == 0) break;
  }
  finishShort(low, high, size, target);
}

function digestTo240(input: usize, size: usize, secret: usize, target: usize): void {
  let low = <u64>size * P64_1, high: u64 = 0;
  const rounds = size >> 5;
  for (let i: usize = 0; i < rounds; i++) {
    if (i == 4) {
      low = avalanche(low);
      high = avalanche(high);
    }
    const head = input + (i << 5), key = i < 4 ? secret + (i << 5) : secret + 3 + ((i - 4) << 5);
    low = (low + mix16(head, key)) ^ sum16(head + 16);
    high = (high + mix16(head + 16, key + 16)) ^ sum16(head);
    if (i == 3 && rounds == 4) {
      low = avalanche(low);
      high = avalanche(high);
    }
  }
  const last = input + size - 16, previous = input + size - 32, key = secret + 103;
  low = (low + mix16(last, key)) ^ sum16(previous);
  high = (high + mix16(previous, key + 16)) ^ sum16(last);
  finishShort(low, high, size, target);
}

function merged(acc: usize, secret: usize, start: u64): u64 {
  let sum = start;
  for (let i: usize = 0; i < 64; i += 16) {
    sum += foldedProduct(load<u64>(acc + i) ^ load<u64>(secret + i), load<u64>(acc + i, 8) ^ load<u64>(secret + i, 8));
  }
  return avalanche(sum);
}

function digestLong(state: usize, target: usize, total: u64): void {
  const acc = state + ACCUMULATORS, secret = state + SECRET, buffer = state + BUFFER;
  const saved = heldAccumulators(state);
  const buffered = load<u32>(state, BUFFERED);
  if (buffered >= STRIPE_BYTES) {
    consume(state, buffer, (buffered - 1) / STRIPE_BYTES, load<u32>(state, STRIPES));
    accumulate(acc, buffer + buffered - STRIPE_BYTES, secret + 121, 1);
  } else {
    // the last stripe begins in the bytes consumed before, whose end the buffer's tail keeps
    const stripe = saved + 64, missing = STRIPE_BYTES - buffered;
    memory.copy(stripe, buffer + BUFFER_BYTES - missing, missing);
    memory.copy(stripe + missing, buffer, buffered);
    accumulate(acc, stripe, secret + 121, 1);
  }
  const low = merged(acc, secret + 11, total * P64_1);
  const high = merged(acc, secret + 117, ~(total * P64_2));
  memory.copy(acc, saved, 64);
  storeDigest(target, low, high);
}

/** Copies the accumulators aside, behind the state's own fields, where a scratch stripe follows them. */
function heldAccumulators(state: usize): usize {
  memory.copy(state + HELD, state + ACCUMULATORS, 64);
  return state + HELD;
}
