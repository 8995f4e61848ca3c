import { splitExtension } from '../codec/extensions.ts'
import { isHistoryName, isSegmentName } from '../postgres/wal-segment.ts'
import type { Abortable, Storage } from '../storage/storage.ts'
import { isTemporaryName, WAL_PREFIX } from './layout.ts'

export type WalObjectKind = 'segment' | 'partial' | 'history' | 'backup' | 'delta' | 'metadata' | 'foreign'

/** What the name of an object below `wal_005/` says. */
export interface WalObjectName {
  readonly kind: WalObjectKind
  /**
   * Without compression extension: the segment, `X.partial`, `0000000N.history`, `X.YYYYYYYY.backup`, `X_delta`;
   * for metadata what stands before `.json`; for foreign objects the whole name.
   */
  readonly file: string
  /** Of the compression; `''` for none, metadata and foreign objects. */
  readonly extension: string
}

/** An object below `wal_005/`. */
export interface WalObject extends WalObjectName {
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
}

const METADATA =
  /^([0-9A-F]{23,24}|[0-9A-F]{8}\.history|[0-9A-F]{24}\.(?:partial|[0-9A-F]{8}\.backup))\.json$/

/** Tells what an object is by its name, without the prefix (storage-format 4.2, 4.4, 2.5). */
export function parseWalObjectName(name: string): WalObjectName {
  const metadata = METADATA.exec(name)
  if (metadata !== null) return { kind: 'metadata', file: metadata[1]!, extension: '' }
  const { name: file, extension = '' } = splitExtension(name)
  const kind = kindOf(file)
  return kind === 'foreign' ? { kind, file: name, extension: '' } : { kind, file, extension }
}

function kindOf(file: string): WalObjectKind {
  if (isSegmentName(file)) return 'segment'
  if (isHistoryName(file)) return 'history'
  const rest = isSegmentName(file.slice(0, 24)) ? file.slice(24) : ''
  if (rest === '.partial') return 'partial'
  if (rest === '_delta') return 'delta'
  return /^\.[0-9A-F]{8}\.backup$/.test(rest) ? 'backup' : 'foreign'
}

/** Everything directly below `wal_005/` in any order, temporaries of interrupted puts left out. */
export async function* listWal(storage: Storage, options: Abortable = {}): AsyncGenerator<WalObject> {
  for await (const entry of storage.list(WAL_PREFIX, options)) {
    if (entry.kind !== 'object') continue
    const name = entry.key.slice(WAL_PREFIX.length + 1)
    if (isTemporaryName(name)) continue
    yield {
      ...parseWalObjectName(name),
      key: entry.key,
      sizeBytes: entry.sizeBytes,
      modifiedNs: entry.modifiedNs,
    }
  }
}
