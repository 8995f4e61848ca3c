// LZO1X decompression, after the public description of the stream format, and Adler-32 for its container.
// Areas need 64 bytes of memory behind them.

let from: usize = 0;
let end: usize = 0;
let isCut: bool = false;

function readByte(): usize {
  if (from >= end) {
    isCut = true;
    return 1;
  }
  return <usize>load<u8>(from++);
}

/** A length whose short field was zero: 255 for every zero byte, then the first other one. */
function readLength(base: usize): usize {
  let length = base;
  while (true) {
    const byte = readByte();
    if (byte != 0) return length + byte;
    length += 255;
  }
}

/** Decompresses one block into at most `capacity` bytes; -1 for anything that is not a whole block. */
export function decompressLzo1x(source: usize, count: usize, target: usize, capacity: usize): isize {
  from = source;
  end = source + count;
  isCut = false;
  let to = target;
  const stop = target + capacity;
  // literals that the last instruction copied, 4 for "more than 3": decides what the small instructions mean
  let state: usize = 0;
  let literals: usize = 0;
  if (count > 0 && load<u8>(source) > 17) {
    literals = readByte() - 17;
    state = min<usize>(literals, 4);
  }
  while (true) {
    if (literals > end - from || literals > stop - to) return -1;
    memory.copy(to, from, literals);
    from += literals;
    to += literals;
    literals = 0;
    const code = readByte();
    let length: usize, distance: usize, low: usize;
    if (code < 16) {
      if (state == 0) {
        literals = code == 0 ? readLength(18) : code + 3;
        if (isCut) return -1;
        state = 4;
        continue;
      }
      low = code;
      distance = (readByte() << 2) + (code >> 2) + (state == 4 ? 2049 : 1);
      length = state == 4 ? 3 : 2;
    } else if (code < 64) {
      const mask: usize = code < 32 ? 7 : 31;
      const short = code & mask;
      length = 2 + (short == 0 ? readLength(mask) : short);
      low = readByte();
      const field = (low >> 2) + (readByte() << 6);
      distance = code < 32 ? 16384 + ((code & 8) << 11) + field : field + 1;
      if (code < 32 && distance == 16384) {
        return isCut || length != 3 || from != end ? -1 : <isize>(to - target);
      }
    } else {
      low = code;
      distance = (readByte() << 3) + ((code >> 2) & 7) + 1;
      length = code < 128 ? 3 + ((code >> 5) & 1) : 5 + ((code >> 5) & 3);
    }
    if (isCut || distance > to - target || length > stop - to) return -1;
    for (const matchEnd = to + length; to < matchEnd; to++) store<u8>(to, load<u8>(to - distance));
    state = low & 3;
    literals = state;
  }
}

const ADLER_MODULUS: u32 = 65521;

export function adler32(source: usize, count: usize, seed: u32): u32 {
  let low = seed & 0xffff, high = seed >> 16;
  const stop = source + count;
  while (source < stop) {
    // the sums stay below 2^32 for 5552 bytes
    const pieceEnd = min<usize>(stop, source + 5552);
    for (; source < pieceEnd; source++) {
      low += <u32>load<u8>(source);
      high += low;
    }
    low %= ADLER_MODULUS;
    high %= ADLER_MODULUS;
  }
  return (high << 16) | low;
}
