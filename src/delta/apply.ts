import { type BeneathTarget, BeneathWriter, type NewerPages } from './beneath.ts'
import { type IncrementDecoder, type IncrementHeader, openIncrementDecoder } from './increment.ts'

/** The file that an increment changes: what is needed of an open, writable file. */
export interface PatchTarget {
  truncate(sizeBytes: number): void
  /** Writes all of `bytes`. */
  writeAt(bytes: Uint8Array, position: number): void
}

export interface IncrementApplication extends Omit<IncrementDecoder, 'unneededBytes'> {
  /** What the file's size must be when `end` has returned: as in the backup, or to its last page beyond that. */
  readonly finalSizeBytes: number
  /** Size that the file had in this backup; 0 until the head has come. */
  readonly fileSizeBytes: number
  /** Blocks that the increment brings; none until the head has come. */
  readonly blocks: Uint32Array
  /** Bytes that come next and would not be written. */
  unneededBytes(): number
}

const NO_BLOCKS = new Uint32Array(0)

/**
 * Applies an increment to what is older, or to nothing yet (storage-format 3.6): the file is cut or extended to the
 * size it had, then every page is put in its place; pages beyond that size extend it again. Doing it twice does no
 * harm. `check` is called before the file is touched, and may throw. `isNeeded` tells what `target` writes at all; default: all.
 */
export function applyIncrement(
  name: string,
  sizeBytes: number,
  pageBytes: number,
  target: PatchTarget,
  check?: (header: IncrementHeader, blocks: Uint32Array) => void,
  isNeeded?: (block: number) => boolean,
): IncrementApplication {
  let finalSizeBytes = 0
  let fileSizeBytes = 0
  let blocks: Uint32Array = NO_BLOCKS
  const decoder = openIncrementDecoder(name, sizeBytes, pageBytes, {
    begin(header, numbers): void {
      check?.(header, numbers)
      target.truncate(header.fileSizeBytes)
      fileSizeBytes = header.fileSizeBytes
      finalSizeBytes = fileSizeBytes
      blocks = numbers
    },
    write(bytes, position): void {
      target.writeAt(bytes, position)
      finalSizeBytes = Math.max(finalSizeBytes, position + bytes.length)
    },
  })
  return {
    write: bytes => decoder.write(bytes),
    unneededBytes: () => (isNeeded === undefined ? 0 : decoder.unneededBytes(isNeeded)),
    passOver: countBytes => decoder.passOver(countBytes),
    end: () => decoder.end(),
    get finalSizeBytes(): number {
      return finalSizeBytes
    },
    get fileSizeBytes(): number {
      return fileSizeBytes
    },
    get blocks(): Uint32Array {
      return blocks
    },
  }
}

/** Applies an increment beneath newer ones: pages that nothing newer replaced or cut away are put in their places. */
export function applyIncrementBeneath(
  name: string,
  sizeBytes: number,
  pageBytes: number,
  target: BeneathTarget,
  newer: NewerPages & { readonly sizeBytes: number },
): IncrementApplication {
  const beneath = new BeneathWriter(target, newer, pageBytes)
  const writer: PatchTarget = {
    truncate() {},
    writeAt: (bytes, position) => beneath.write(bytes, position),
  }
  const isNeeded = (block: number): boolean => !beneath.isNewer(block)
  const application = applyIncrement(name, sizeBytes, pageBytes, writer, undefined, isNeeded)
  return {
    write: bytes => application.write(bytes),
    unneededBytes: () => application.unneededBytes(),
    passOver: countBytes => application.passOver(countBytes),
    end: () => application.end(),
    finalSizeBytes: newer.sizeBytes,
    get fileSizeBytes(): number {
      return application.fileSizeBytes
    },
    get blocks(): Uint32Array {
      return application.blocks
    },
  }
}
