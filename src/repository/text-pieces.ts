import { collectGarbage } from '../kit/thread.ts'

const PIECE_CHARACTERS = 1 << 18
/** A character of JavaScript takes at most this many bytes in UTF-8. */
const UTF8_BYTES_MAX = 3
/** Text of this many pieces leaves tens of megabytes of garbage behind. A short one is collected each time it has doubled. */
const PIECES_PER_COLLECTION = 16

/** Joins fragments into pieces of about 256 KiB of UTF-8, in the same memory again and again: each is lent until the next. */
export function* encodePieces(fragments: Iterable<string>): Generator<Uint8Array> {
  const encoder = new TextEncoder()
  let bytes = new Uint8Array(0)
  const encode = (text: string): Uint8Array => {
    if (bytes.length < text.length * UTF8_BYTES_MAX) bytes = new Uint8Array(text.length * UTF8_BYTES_MAX)
    return bytes.subarray(0, encoder.encodeInto(text, bytes).written)
  }
  let pieces = 0
  let text = ''
  for (const fragment of fragments) {
    text += fragment
    if (text.length < PIECE_CHARACTERS) continue
    yield encode(text)
    text = ''
    if (isTimeToCollect(++pieces)) collectGarbage()
  }
  if (text !== '') yield encode(text)
}

function isTimeToCollect(pieces: number): boolean {
  if (pieces >= PIECES_PER_COLLECTION) return pieces % PIECES_PER_COLLECTION === 0
  return pieces === 2 || pieces === 4 || pieces === 8
}
