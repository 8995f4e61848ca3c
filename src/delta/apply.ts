import { type IncrementDecoder, type IncrementHeader, openIncrementDecoder } from './increment.ts'

/** The file that an increment changes: what is needed of an open, writable file. */
export interface PatchTarget {
  truncate(sizeBytes: number): void
  /** Writes all of `bytes`. */
  writeAt(bytes: Uint8Array, position: number): void
}

export interface IncrementApplication extends IncrementDecoder {
  /** What the file's size must be when `end` has returned: as in the backup, or to its last page beyond that. */
  readonly finalSizeBytes: number
}

/**
 * Applies an increment forward (storage-format 3.6): the file is cut or extended to the size it had, then every
 * page is put in its place; pages beyond that size extend it again. Doing it twice does no harm. `check` is called
 * before the file is touched, and may throw.
 */
export function applyIncrement(
  name: string,
  sizeBytes: number,
  pageBytes: number,
  target: PatchTarget,
  check?: (header: IncrementHeader, blocks: Uint32Array) => void,
): IncrementApplication {
  let finalSizeBytes = 0
  const decoder = openIncrementDecoder(name, sizeBytes, pageBytes, {
    begin(header, blocks): void {
      check?.(header, blocks)
      target.truncate(header.fileSizeBytes)
      finalSizeBytes = header.fileSizeBytes
    },
    write(bytes, position): void {
      target.writeAt(bytes, position)
      finalSizeBytes = Math.max(finalSizeBytes, position + bytes.length)
    },
  })
  return {
    write: bytes => decoder.write(bytes),
    end: () => decoder.end(),
    get finalSizeBytes(): number {
      return finalSizeBytes
    },
  }
}
