import { WalgError } from '../kit/errors.ts'
import type { Logger } from '../kit/log.ts'
import type { DataEntries } from './data-entries.ts'

/** A tablespace found in `pg_tblspc` as a symbolic link; in-place tablespaces are ordinary directories. */
export interface Tablespace {
  /** Name of the link: the tablespace's oid. */
  readonly oid: string
  /** The link's target, as it reads: `loc` in the sentinel's `Spec`. */
  readonly location: string
  /** True when the files lie inside the data directory: they are members under their physical path, once. */
  readonly isInsideDataDirectory: boolean
}

/** A symbolic link that is not a tablespace, and what became of it. Tar members never are symbolic links. */
export interface ForeignLink {
  readonly memberName: string
  /** The link's target, as it reads. */
  readonly target: string
  /** `content`: a member with the target's content. `tree`: a real directory. `nothing`: not in the backup. */
  readonly stored: 'content' | 'tree' | 'nothing'
}

/** pg_control, kept out of the entries: it travels last and in an archive of its own. */
export interface ControlEntry {
  readonly path: string
  /** Always `/global/pg_control`. */
  readonly memberName: string
  readonly sizeBytes: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
}

export interface DataDirectory {
  /** Absolute, symbolic links resolved. */
  readonly root: string
  /** In the order of the walk: lexical (bytewise), a directory before what is in it; the first is `/`. */
  readonly entries: DataEntries
  readonly controlFile: ControlEntry
  /** `DataCatalogSize` of the sentinel: the sizes of everything met, left-out things and directories included. */
  readonly catalogBytes: number
  /** Bytes of the files among `entries`. */
  readonly contentBytes: number
  readonly tablespaces: readonly Tablespace[]
  readonly links: readonly ForeignLink[]
}

export interface WalkOptions {
  readonly log: Logger
  readonly signal: AbortSignal
}

/**
 * Walks a data directory for a backup (storage-format 1.7, 1.9): what is in it, what is left out and why, before
 * anything is sent. Throws FILE_NOT_FOUND, FILE_ACCESS (naming what cannot be read), FORMAT_INVALID (a name that is
 * not UTF-8; the format cannot hold it), CANCELLED.
 */
export async function walkDataDirectory(root: string, options: WalkOptions): Promise<DataDirectory> {
  options.signal.throwIfAborted()
  throw new WalgError('NOT_AVAILABLE', `the walk of "${root}" is not there yet`)
}
