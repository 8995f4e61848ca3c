import type { ZeroRuns } from '../../../delta/zero-runs.ts'
import type { ManifestObject } from '../../../repository/manifest.ts'

/** A part that is copied inside the storage. */
export interface CopiedPart {
  /** As the earlier backup has it; the key is relative to that backup. */
  readonly source: ManifestObject
  /** Name in the new backup, below `tar_partitions/`. */
  readonly name: string
  /** Sum of the sizes of its members. */
  readonly contentBytes: number
}

/** The files that nobody has to read, because a part that holds them is copied; columns of one length. */
export interface CopiedFiles {
  readonly parts: readonly CopiedPart[]
  /** Entries, ascending. */
  readonly indexes: Uint32Array
  /** Position in `parts`. */
  readonly partOf: Uint32Array
  /** Two halves for each file. */
  readonly hashes: BigUint64Array
  /** Blocks up to the last that is not zero. */
  readonly usedBlocks: Uint32Array
  /** Blocks before those that are zero, by entry, where there are any. */
  readonly zeroes: ReadonlyMap<number, ZeroRuns>
  /** `UpdatesCount` by entry. */
  readonly updates: ReadonlyMap<number, bigint>
}
