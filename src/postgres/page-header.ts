import { type Lsn, toLsn } from './lsn.ts'

/** Bytes of a page unless the server was built otherwise (`WALG_PG_BLOCK_SIZE`). */
export const PAGE_BYTES_DEFAULT = 8192
/** Bytes of a relation file before the next one begins, whatever the page size. */
export const RELATION_FILE_BYTES: number = 1 << 30

export const PAGE_HEADER_BYTES = 24
const LAYOUT_VERSION_MAX = 5
const FLAGS_KNOWN = 0x7
const PD_ALL_VISIBLE = 0x4
const AT_UPPER = 14

/** Initial values of the 32 lanes of PostgreSQL's page checksum. */
export const CHECKSUM_SEEDS: Uint32Array = new Uint32Array([
  0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c, 0xf8d4474f,
  0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb, 0xe58f764b, 0x187636bc,
  0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6,
  0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
])
const PRIME = 16777619

/** What an increment needs to know of a page (storage-format 3.4). `invalid`: not a page at all. */
export type PageState = 'new' | 'valid' | 'invalid'

/** Judges a page by its header alone; `page` is exactly one page. */
export function judgePage(page: Uint8Array): PageState {
  return judgePageAt(new DataView(page.buffer, page.byteOffset, page.byteLength), 0, page.length)
}

/** The same for the page at `at` of `view`: nothing is allocated. */
export function judgePageAt(view: DataView, at: number, pageBytes: number): PageState {
  const flags = view.getUint16(at + 10, true)
  const lower = view.getUint16(at + 12, true)
  const upper = view.getUint16(at + 14, true)
  const special = view.getUint16(at + 16, true)
  const sizeAndVersion = view.getUint16(at + 18, true)
  const isValid =
    (flags & ~FLAGS_KNOWN) === 0 &&
    lower >= PAGE_HEADER_BYTES &&
    lower <= upper &&
    upper <= special &&
    special <= pageBytes &&
    (view.getUint32(at, true) !== 0 || view.getUint32(at + 4, true) !== 0) &&
    (sizeAndVersion & 0xff00) === pageBytes &&
    (sizeAndVersion & 0xff) <= LAYOUT_VERSION_MAX
  if (isValid) return 'valid'
  return upper === 0 ? 'new' : 'invalid'
}

/** Whether the page at `at` of `view` is marked all-visible: every transaction sees all of its rows. */
export function isAllVisibleAt(view: DataView, at: number): boolean {
  return (view.getUint16(at + 10, true) & PD_ALL_VISIBLE) !== 0
}

/** The LSN of a page: the end of the last record that changed it. */
export function readPageLsn(page: Uint8Array): Lsn {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  return toLsn((BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true)))
}

/** Whether a page has content as its header goes: one that was added to its file and not filled yet has no upper bound. */
export function hasUpper(page: Uint8Array): boolean {
  return page[AT_UPPER] !== 0 || page[AT_UPPER + 1] !== 0
}

/** The checksum in a page's header. */
export function readStoredChecksum(page: Uint8Array): number {
  return page[8]! | (page[9]! << 8)
}

/**
 * The checksum that a page should have as block `block` of its fork: 32 lanes of FNV-1a over its words, with the
 * checksum field taken as zero. Plain JavaScript; `openPageVerifier` does the same for many pages, fast.
 */
export function computePageChecksum(page: Uint8Array, block: number): number {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  const lanes = Uint32Array.from(CHECKSUM_SEEDS)
  for (let at = 0; at < page.length; at += 128) {
    for (let lane = 0; lane < 32; lane++) {
      const offset = at + lane * 4
      // the checksum is the lower half of the third word
      const word = offset === 8 ? view.getUint32(8, true) & 0xffff0000 : view.getUint32(offset, true)
      lanes[lane] = mix(lanes[lane]!, word)
    }
  }
  let sum = 0
  for (const lane of lanes) sum ^= mix(mix(lane, 0), 0)
  return (((sum ^ block) >>> 0) % 65535) + 1
}

function mix(sum: number, word: number): number {
  const mixed = sum ^ word
  return (Math.imul(mixed, PRIME) ^ (mixed >>> 17)) >>> 0
}
