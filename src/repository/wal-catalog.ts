import type { Abortable, Storage } from '../storage/storage.ts'

export type WalObjectKind = 'segment' | 'partial' | 'history' | 'backup' | 'delta' | 'metadata' | 'foreign'

/** An object below `wal_005/`. */
export interface WalObject {
  readonly kind: WalObjectKind
  readonly key: string
  /** Without compression extension: the segment, `X.partial`, `0000000N.history`, `X.YYYYYYYY.backup`, `X_delta`, `X` of `X.json`, or the whole foreign name. */
  readonly file: string
  readonly extension: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
}

/** What an object name below `wal_005/` is. */
export declare function parseWalObjectName(name: string): {
  readonly kind: WalObjectKind
  readonly file: string
  readonly extension: string
}
/** Everything directly below `wal_005/`, temporaries excepted. */
export declare function listWal(storage: Storage, options?: Abortable): AsyncGenerator<WalObject>
