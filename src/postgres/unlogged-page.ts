/** Bytes that `changesWithoutWal` looks at. */
export const UNLOGGED_PROBE_BYTES = 28

const SPGIST_MAGIC = 0xba0babee

/**
 * True for the first block of a file that PostgreSQL changes without WAL and without a new page LSN: the metapage of an
 * SP-GiST index, where it notes which pages have room (`lastUsedPages` in spgutils.c). No index suffers when the note is old, but
 * only with this block does a delta give back the same bytes as a full backup. `first` begins like the file.
 */
export function changesWithoutWal(first: Uint8Array): boolean {
  if (first.length < UNLOGGED_PROBE_BYTES) return false
  return new DataView(first.buffer, first.byteOffset).getUint32(24, true) === SPGIST_MAGIC
}
