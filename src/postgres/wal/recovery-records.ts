import type { Lsn } from '../lsn.ts'
import { RECORD_HEADER_BYTES } from './partial-record.ts'

/**
 * What recovery can stop at: the end of a transaction or a restore point (`xl_xact_commit`, `xl_xact_abort`,
 * `xl_restore_point` of PostgreSQL 13 to 18).
 */
export type RecoveryPoint = EndOfTransaction | RestorePoint

export interface EndOfTransaction {
  readonly kind: 'commit' | 'abort'
  readonly startLsn: Lsn
  readonly endLsn: Lsn
  /** Microseconds since 1970, by the clock of the server. */
  readonly timeUs: bigint
  /** Of the transaction that ends; of the prepared one where that is what ends. */
  readonly xid: number
  readonly subtransactions: readonly number[]
}

export interface RestorePoint {
  readonly kind: 'restore-point'
  readonly startLsn: Lsn
  readonly endLsn: Lsn
  readonly timeUs: bigint
  readonly name: string
}

/** A record of the server's own, at which its timestamps begin: 2000-01-01, in microseconds since 1970. */
const POSTGRES_EPOCH_US = 946_684_800_000_000n

const RMGR_XLOG = 0
const RMGR_XACT = 1
const XLOG_RESTORE_POINT = 0x70
const XACT_OPERATION_MASK = 0x70
const XACT_HAS_INFO = 0x80
const XACT_OPERATIONS: ReadonlyMap<number, 'commit' | 'abort'> = new Map([
  [0x00, 'commit'],
  [0x20, 'abort'],
  [0x30, 'commit'],
  [0x40, 'abort'],
])

const HAS_DATABASE = 1 << 0
const HAS_SUBTRANSACTIONS = 1 << 1
const HAS_RELATIONS = 1 << 2
const HAS_INVALIDATIONS = 1 << 3
const HAS_TWO_PHASE = 1 << 4
const HAS_DROPPED_STATISTICS = 1 << 8

const DATABASE_BYTES = 8
const RELATION_BYTES = 12
const INVALIDATION_BYTES = 16
/** The object of a statistics entry has 32 bits up to PostgreSQL 17 and 64 from 18 on. */
const STATISTICS_BYTES = 12
const STATISTICS_BYTES_18 = 16
const RESTORE_POINT_NAME_BYTES = 64

const BLOCK_ID_DATA_SHORT = 255
const BLOCK_ID_DATA_LONG = 254
const BLOCK_ID_ORIGIN = 253
const BLOCK_ID_TOPLEVEL_XID = 252

/** True for a record that `decodeRecoveryPoint` knows; it begins at `at`. */
export function isRecoveryPoint(view: DataView, at: number): boolean {
  const rmgr = view.getUint8(at + 17)
  const info = view.getUint8(at + 16)
  if (rmgr === RMGR_XACT) return XACT_OPERATIONS.has(info & XACT_OPERATION_MASK)
  return rmgr === RMGR_XLOG && (info & 0xf0) === XLOG_RESTORE_POINT
}

/**
 * Decodes one; undefined when it is none, or too short. `majorVersion`: of the server that wrote it, `majorByMagic` of its page.
 */
export function decodeRecoveryPoint(
  record: { readonly view: DataView; readonly at: number; readonly totalBytes: number },
  startLsn: Lsn,
  endLsn: Lsn,
  majorVersion: number,
): RecoveryPoint | undefined {
  if (!isRecoveryPoint(record.view, record.at)) return undefined
  const bytes = Math.min(record.totalBytes, record.view.byteLength - record.at)
  const view = new DataView(record.view.buffer, record.view.byteOffset + record.at, bytes)
  const at = mainDataAt(view)
  if (at === undefined || at + 8 > bytes) return undefined
  const timeUs = view.getBigInt64(at, true) + POSTGRES_EPOCH_US
  const info = view.getUint8(16)
  if (view.getUint8(17) === RMGR_XLOG) {
    const length = Math.min(RESTORE_POINT_NAME_BYTES, bytes - at - 8)
    const name = new Uint8Array(view.buffer, view.byteOffset + at + 8, length)
    const end = name.indexOf(0)
    const text = new TextDecoder().decode(end < 0 ? name : name.subarray(0, end))
    return { kind: 'restore-point', startLsn, endLsn, timeUs, name: text }
  }
  const kind = XACT_OPERATIONS.get(info & XACT_OPERATION_MASK)!
  const fields = decodeTransaction(view, at + 8, info, kind, majorVersion)
  const xid = fields.preparedXid ?? view.getUint32(4, true)
  return { kind, startLsn, endLsn, timeUs, xid, subtransactions: fields.subtransactions }
}

/** Where the main data of a record without blocks begins, from its first byte on; undefined when it has none. */
export function mainDataAt(view: DataView): number | undefined {
  let at = RECORD_HEADER_BYTES
  while (at < view.byteLength) {
    const id = view.getUint8(at)
    if (id === BLOCK_ID_DATA_SHORT) return at + 2
    if (id === BLOCK_ID_DATA_LONG) return at + 5
    if (id === BLOCK_ID_ORIGIN) at += 3
    else if (id === BLOCK_ID_TOPLEVEL_XID) at += 5
    else return undefined
  }
  return undefined
}

function decodeTransaction(
  view: DataView,
  from: number,
  info: number,
  kind: 'commit' | 'abort',
  majorVersion: number,
): { readonly subtransactions: readonly number[]; readonly preparedXid?: number } {
  const subtransactions: number[] = []
  if ((info & XACT_HAS_INFO) === 0 || from + 4 > view.byteLength) return { subtransactions }
  const has = view.getUint32(from, true)
  let at = from + 4
  const count = (): number => {
    at += 4
    return at <= view.byteLength ? view.getUint32(at - 4, true) : 0
  }
  if ((has & HAS_DATABASE) !== 0) at += DATABASE_BYTES
  if ((has & HAS_SUBTRANSACTIONS) !== 0) {
    for (let left = count(); left > 0 && at + 4 <= view.byteLength; left--, at += 4) {
      subtransactions.push(view.getUint32(at, true))
    }
  }
  /** Not `at += count() * …`: `at` would be read before the count moves it. */
  const skip = (bytesEach: number): void => {
    const items = count()
    at += items * bytesEach
  }
  if ((has & HAS_RELATIONS) !== 0) skip(RELATION_BYTES)
  if ((has & HAS_DROPPED_STATISTICS) !== 0) skip(majorVersion >= 18 ? STATISTICS_BYTES_18 : STATISTICS_BYTES)
  if (kind === 'commit' && (has & HAS_INVALIDATIONS) !== 0) skip(INVALIDATION_BYTES)
  if ((has & HAS_TWO_PHASE) === 0 || at + 4 > view.byteLength) return { subtransactions }
  return { subtransactions, preparedXid: view.getUint32(at, true) }
}
