import type { BlockCrewData } from '../../../codec/block-crew.ts'
import type { CompressionOptions } from '../../../codec/codec.ts'
import type { WholeReason } from '../../../delta/page-selection.ts'
import type { RateLimit } from '../../../kit/limits.ts'
import type { LinearMemory } from '../../../kit/linear-memory.ts'
import type { BackupName } from '../../../repository/backup-name.ts'
import type { TarMember } from '../../../tar/pack.ts'
import type { LatePage } from '../late-pages.ts'
import type { FileBatchData } from './file-batch.ts'
import type { PageCheckOptions } from './page-check.ts'
import type { ScanOptions } from './page-scan.ts'
import type { PartPlace, StoredPart } from './part.ts'
import type { PartControlData } from './part-control.ts'

/** What all workers of one push work on; plain data. */
export interface PartsTask {
  readonly backup: BackupName
  readonly control: PartControlData
  /** Members without content, in the order of the walk; they go into part 1. */
  readonly headers: readonly TarMember[]
  /** Part 1 holds nothing else, so that every other part can be copied by a later backup. */
  readonly separatesHeaders?: boolean
  /** A part is closed when the next file would make its tar larger than this. */
  readonly partBytesMax: number
  readonly use: CompressionOptions['use']
  readonly workersCount: number
  /** Workers that are done compress blocks for those that are not. */
  readonly crew?: BlockCrewData
  readonly diskLimit?: RateLimit
  readonly pageBytes: number
  /** Absent: page checksums are not verified. */
  readonly pages?: PageCheckOptions
  /** Absent: every file is packed whole. */
  readonly scan?: ScanOptions
}

export interface NumberedPart extends StoredPart {
  readonly number: number
}

/** What a worker tells while it packs. */
export type PackReport =
  | { readonly kind: 'part begun'; readonly number: number }
  | { readonly kind: 'part done'; readonly part: NumberedPart }
  /** Damaged pages of a file, by number from its beginning, ascending. */
  | { readonly kind: 'damage'; readonly turn: number; readonly blocks: readonly number[] }
  /** Pages of a file whose damage shows, or not, when the end of the backup is known. */
  | { readonly kind: 'late'; readonly turn: number; readonly pages: readonly LatePage[] }
  /** A relation's file that is not made of whole pages was packed without a look at its pages. */
  | { readonly kind: 'odd size'; readonly turn: number }
  /** The parent has the file, but it was packed whole. */
  | { readonly kind: 'whole'; readonly turn: number; readonly reason: WholeReason }

export interface PackRoom extends Pick<PartPlace, 'storage' | 'codec'> {
  readonly memory: LinearMemory
  readonly worker: number
  readonly report: (report: PackReport) => void
  /** Gives a finished batch back and waits for another; undefined when no file is left. */
  readonly nextBatch: (finished: FileBatchData | undefined) => Promise<FileBatchData | undefined>
}
