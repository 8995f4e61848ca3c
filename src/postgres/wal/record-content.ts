import { RECORD_HEADER_BYTES } from './partial-record.ts'

/**
 * What WAL says about the files of relations. Numbers of tablespaces, databases and relations are those of file names
 * (1663 and 1664 for the built-in tablespaces).
 */
export interface WalChanges {
  /** A record touches this block, by data or by a full-page image. */
  block(tablespace: number, database: number, relation: number, fork: number, block: number): void
  /** From `block` on nothing is as it was: the fork was cut there; with 0 it was created or dropped. */
  limit(tablespace: number, database: number, relation: number, fork: number, block: number): void
  /** A database's files in one tablespace were copied or removed as a whole. */
  database(tablespace: number, database: number): void
  /** Something changed files in a way that WAL does not tell. */
  doubt(reason: string): void
}

/** Majors whose records are understood here. */
export const WAL_MAJORS_READ = { min: 13, max: 18 } as const

const MAIN_FORK = 0
const VM_FORK = 2
const FORK_MAX = 3
const BLOCK_ID_MAX = 32
const ID_MAIN_DATA_SHORT = 255
const ID_MAIN_DATA_LONG = 254
const ID_ORIGIN = 253
const ID_TOPLEVEL_XID = 252
const FORK_MASK = 0x0f
const HAS_IMAGE = 0x10
const HAS_DATA = 0x20
const SAME_RELATION = 0x80
const IMAGE_HAS_HOLE = 0x01
/** Until 14 one bit for compressed; since 15 one per method (pglz, lz4, zstd). */
const IMAGE_COMPRESSED_14 = 0x02
const IMAGE_COMPRESSED_15 = 0x1c
/** The record changes files of relations beyond its block references. */
const SPECIAL_RELATION_UPDATE = 0x01

const RMGR = { xlog: 0, transaction: 1, storage: 2, database: 4, lastBuiltin: 21, firstCustom: 128 } as const

const NOT_FITTING = 'its parts do not fit its length'

/**
 * Tells `changes` what one record changes. The record begins at `at` of `view`; of one that crosses pages the data may be left
 * out (`PartialRecord`). Returns why it is malformed, undefined when all is well. Source of the layout:
 * PostgreSQL's access/xlogrecord.h, storage_xlog.h, dbcommands_xlog.h, xact.h.
 */
export function readRecordChanges(
  view: DataView,
  at: number,
  totalBytes: number,
  major: number,
  changes: WalChanges,
): string | undefined {
  const rmgr = view.getUint8(at + 17)
  if (rmgr > RMGR.lastBuiltin && rmgr < RMGR.firstCustom) return `it is of resource manager ${rmgr}`
  const recordEnd = at + totalBytes
  /** No header lies behind this. */
  const headersEnd = Math.min(recordEnd, view.byteLength)
  const compressedMask = major >= 15 ? IMAGE_COMPRESSED_15 : IMAGE_COMPRESSED_14
  let position = at + RECORD_HEADER_BYTES
  let dataBytes = 0
  let mainBytes = 0
  let lastId = -1
  let tablespace = 0
  let database = 0
  let relation = 0
  let isRelationKnown = false
  while (recordEnd - position > dataBytes) {
    // the longest header takes 27 bytes; a short rest is checked piece by piece below, through this one bound
    if (position + 2 > headersEnd) return NOT_FITTING
    const id = view.getUint8(position)
    if (id <= BLOCK_ID_MAX) {
      if (id <= lastId) return `its block ${id} is out of order`
      lastId = id
      if (position + 8 > headersEnd) return NOT_FITTING
      const flags = view.getUint8(position + 1)
      const blockDataBytes = view.getUint16(position + 2, true)
      if (((flags & HAS_DATA) !== 0) !== blockDataBytes > 0)
        return `its block ${id} has data where none may be`
      if ((flags & FORK_MASK) > FORK_MAX) return `its block ${id} is of fork ${flags & FORK_MASK}`
      dataBytes += blockDataBytes
      position += 4
      if ((flags & HAS_IMAGE) !== 0) {
        if (position + 7 > headersEnd) return NOT_FITTING
        dataBytes += view.getUint16(position, true)
        const imageFlags = view.getUint8(position + 4)
        const hasHoleLength = (imageFlags & IMAGE_HAS_HOLE) !== 0 && (imageFlags & compressedMask) !== 0
        position += hasHoleLength ? 7 : 5
      }
      if ((flags & SAME_RELATION) === 0) {
        if (position + 12 > headersEnd) return NOT_FITTING
        tablespace = view.getUint32(position, true)
        database = view.getUint32(position + 4, true)
        relation = view.getUint32(position + 8, true)
        isRelationKnown = true
        position += 12
      } else if (!isRelationKnown) return `its block ${id} is of the same relation as none`
      if (position + 4 > headersEnd) return NOT_FITTING
      changes.block(tablespace, database, relation, flags & FORK_MASK, view.getUint32(position, true))
      position += 4
    } else if (id === ID_MAIN_DATA_SHORT) {
      mainBytes = view.getUint8(position + 1)
      dataBytes += mainBytes
      position += 2
      break
    } else if (id === ID_MAIN_DATA_LONG) {
      if (position + 5 > headersEnd) return NOT_FITTING
      mainBytes = view.getUint32(position + 1, true)
      dataBytes += mainBytes
      position += 5
      break
    } else if (id === ID_ORIGIN) position += 3
    else if (id === ID_TOPLEVEL_XID && major >= 14) position += 5
    else return `it has a part of kind ${id}`
  }
  if (recordEnd - position !== dataBytes) return NOT_FITTING
  const info = view.getUint8(at + 16)
  if (rmgr === RMGR.xlog || (info & SPECIAL_RELATION_UPDATE) !== 0) {
    return readMainData({ view, at: recordEnd - mainBytes, bytes: mainBytes, rmgr, info, major }, changes)
  }
  return undefined
}

interface MainData {
  readonly view: DataView
  readonly at: number
  readonly bytes: number
  readonly rmgr: number
  readonly info: number
  readonly major: number
}

/** Records that say in their main data what they do to files. */
function readMainData(data: MainData, changes: WalChanges): string | undefined {
  switch (data.rmgr) {
    case RMGR.xlog:
      return readParameters(data, changes)
    case RMGR.transaction:
      return readTransaction(data, changes)
    case RMGR.storage:
      return readStorage(data, changes)
    case RMGR.database:
      return readDatabase(data, changes)
    default:
      changes.doubt(`a record of resource manager ${data.rmgr} changes files in a way that it does not tell`)
      return undefined
  }
}

/** With wal_level=minimal files change without WAL. */
function readParameters({ view, at, bytes, info }: MainData, changes: WalChanges): string | undefined {
  if ((info & 0xf0) !== 0x60) return undefined
  if (bytes < 24) return NOT_FITTING
  if (view.getInt32(at + 20, true) < 1) changes.doubt('WAL was written with wal_level=minimal')
  return undefined
}

/** A transaction that ends drops the relations it removed, or those it had created. */
function readTransaction({ view, at, bytes, info }: MainData, changes: WalChanges): string | undefined {
  const operation = info & 0x70
  const isEnd = operation === 0x00 || operation === 0x20 || operation === 0x30 || operation === 0x40
  if (!isEnd) return `it is a transaction record of kind ${operation}`
  const end = at + bytes
  let position = at + 8
  if ((info & 0x80) === 0 || position + 4 > end) return NOT_FITTING
  const parts = view.getUint32(position, true)
  position += 4
  if ((parts & 0x1) !== 0) position += 8 // database
  if ((parts & 0x2) !== 0) {
    if (position + 4 > end) return NOT_FITTING
    position += 4 + 4 * view.getUint32(position, true) // subtransactions
  }
  if ((parts & 0x4) === 0 || position + 4 > end) return NOT_FITTING
  const count = view.getUint32(position, true)
  position += 4
  if (count > (end - position) / 12) return NOT_FITTING
  for (let index = 0; index < count; index++, position += 12) {
    const tablespace = view.getUint32(position, true)
    changes.limit(
      tablespace,
      view.getUint32(position + 4, true),
      view.getUint32(position + 8, true),
      MAIN_FORK,
      0,
    )
  }
  return undefined
}

function readStorage({ view, at, bytes, info }: MainData, changes: WalChanges): string | undefined {
  const kind = info & 0xf0
  if (kind === 0x10) {
    if (bytes < 16) return NOT_FITTING
    const [tablespace, database, relation, fork] = fourNumbers(view, at)
    changes.limit(tablespace, database, relation, fork, 0)
    return undefined
  }
  if (kind !== 0x20) return `it is a storage record of kind ${kind}`
  if (bytes < 20) return NOT_FITTING
  const [block, tablespace, database, relation] = fourNumbers(view, at)
  const flags = view.getUint32(at + 16, true)
  if ((flags & 0x1) !== 0) changes.limit(tablespace, database, relation, MAIN_FORK, block)
  if ((flags & 0x2) !== 0) changes.limit(tablespace, database, relation, VM_FORK, 0)
  return undefined
}

function readDatabase({ view, at, bytes, info, major }: MainData, changes: WalChanges): string | undefined {
  const kind = info & 0xf0
  const drop = major >= 15 ? 0x20 : 0x10
  if (kind > drop) return `it is a database record of kind ${kind}`
  if (bytes < 8) return NOT_FITTING
  const database = view.getUint32(at, true)
  if (kind !== drop) {
    changes.database(view.getUint32(at + 4, true), database)
    return undefined
  }
  const count = view.getUint32(at + 4, true)
  if (count > (bytes - 8) / 4) return NOT_FITTING
  for (let index = 0; index < count; index++) {
    changes.database(view.getUint32(at + 8 + 4 * index, true), database)
  }
  return undefined
}

function fourNumbers(view: DataView, at: number): [number, number, number, number] {
  return [
    view.getUint32(at, true),
    view.getUint32(at + 4, true),
    view.getUint32(at + 8, true),
    view.getUint32(at + 12, true),
  ]
}
