import fs from 'node:fs'
import path from 'node:path'
import { eventTurn, throwIfCancelled } from '../../../kit/clock.ts'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import type { ControlFile } from '../../../postgres/control-file.ts'
import { type Lsn, toLsn } from '../../../postgres/lsn.ts'
import { readRecordChanges, WAL_MAJORS_READ, type WalChanges } from '../../../postgres/wal/record-content.ts'
import { RecordReader } from '../../../postgres/wal/record-reader.ts'
import { decodePageHeader, LONG_HEADER_BYTES, majorByMagic } from '../../../postgres/wal/wal-page.ts'
import {
  formatSegmentName,
  nextSegment,
  segmentOfLsn,
  segmentStartLsn,
} from '../../../postgres/wal-segment.ts'

export interface UnwrittenSearch {
  readonly root: string
  readonly control: ControlFile
  /** Up to here the WAL since the latest checkpoint is looked at. */
  readonly toLsn: Lsn
  readonly majorVersion: number
  /** Which files matter, by member name: those that an increment is applied to. */
  readonly isPatched: (name: string) => boolean
  readonly signal: AbortSignal
}

const MAIN_FORK = 0
/** A vacuum's note that a page is visible to all; without checksums it leaves the LSN of the page alone. */
const HEAP2_RMGR = 9
const HEAP2_VISIBLE = 0x40
const HEAP2_INFO_MASK = 0x70

/**
 * Looks whether a stopped standby has on its disk what it has replayed behind the REDO location of its latest checkpoint: for
 * every block that this WAL (in its own pg_wal) changes, the page must be as new as the last change. Returns what proves that
 * it is not, or that it cannot be told; undefined when everything is there.
 */
export async function findUnwritten(search: UnwrittenSearch): Promise<string | undefined> {
  const changes = new LastChanges()
  const reason = await readChanges(search, changes)
  return reason ?? changes.doubtReason ?? findStale(search, changes)
}

/** For every block of a main fork the beginning of the last record that changes it. */
class LastChanges implements WalChanges {
  readonly #last = new Map<string, Map<number, bigint>>()
  #pending: { readonly relation: string; readonly block: number }[] = []
  doubtReason: string | undefined

  get relations(): ReadonlyMap<string, ReadonlyMap<number, bigint>> {
    return this.#last
  }

  block(tablespace: number, database: number, relation: number, fork: number, block: number): void {
    if (fork === MAIN_FORK) this.#pending.push({ relation: `${tablespace}/${database}/${relation}`, block })
  }

  /** Files are cut, made and removed at once when this is replayed. */
  limit(): void {}

  database(): void {}

  doubt(reason: string): void {
    this.doubtReason ??= reason
  }

  /** The blocks told since the last call are of a record that begins here. */
  settle(startLsn: bigint): void {
    for (const { relation, block } of this.#pending) {
      const blocks = this.#last.get(relation) ?? new Map<number, bigint>()
      this.#last.set(relation, blocks.set(block, startLsn))
    }
    this.#pending = []
  }
}

/** Returns why the WAL cannot be read as far as it must. */
async function readChanges(search: UnwrittenSearch, changes: LastChanges): Promise<string | undefined> {
  const { control, majorVersion, signal } = search
  const { walSegmentBytes: segmentBytes, walBlockBytes: walPageBytes, timeline, systemIdentifier } = control
  if (majorVersion < WAL_MAJORS_READ.min || majorVersion > WAL_MAJORS_READ.max) {
    return `WAL of PostgreSQL ${majorVersion} is not understood`
  }
  let malformed: string | undefined
  let isBeyond = false
  let segment = segmentOfLsn(timeline, control.redoLsn, segmentBytes)
  const firstLsn = segmentStartLsn(segment, segmentBytes)
  const reader: RecordReader = new RecordReader(
    { systemIdentifier, segmentBytes, walPageBytes },
    firstLsn,
    timeline,
    {
      sink(view, at, totalBytes) {
        // the back link of a record says where the one before it begins
        const previous = view.getBigUint64(at + 8, true)
        if (previous >= firstLsn) changes.settle(previous)
        if (previous >= search.toLsn) isBeyond = true
        if (isBeyond || isVisibilityNote(view, at)) return
        malformed ??= readRecordChanges(view, at, totalBytes, majorVersion, changes)
      },
    },
  )
  for (
    let startLsn: bigint = firstLsn;
    startLsn < search.toLsn && !isBeyond;
    segment = nextSegment(segment)
  ) {
    throwIfCancelled(signal)
    const name = formatSegmentName(segment, segmentBytes)
    const bytes = readSegment(path.join(search.root, 'pg_wal', name))
    if (bytes === undefined) return `WAL segment ${name} is not in its pg_wal`
    const isRight = bytes.length === segmentBytes && isSegmentAt(bytes, startLsn, majorVersion)
    if (!isRight) return `WAL segment ${name} in its pg_wal is another one`
    for (let at = 0; at < bytes.length && !isBeyond; at += walPageBytes) {
      if (!reader.readPage(bytes.subarray(at, at + walPageBytes))) break
    }
    if (malformed !== undefined) return `WAL segment ${name} is not understood: ${malformed}`
    if (reader.stopReason !== undefined) break
    startLsn += BigInt(segmentBytes)
    await eventTurn()
  }
  const { endLsn, lastStartLsn } = reader
  if (!isBeyond && (endLsn === undefined || endLsn < search.toLsn)) {
    return `the WAL in its pg_wal ends before that: ${reader.stopReason ?? 'there is no more'}`
  }
  if (!isBeyond && lastStartLsn !== undefined) changes.settle(lastStartLsn)
  return undefined
}

function isVisibilityNote(view: DataView, at: number): boolean {
  return view.getUint8(at + 17) === HEAP2_RMGR && (view.getUint8(at + 16) & HEAP2_INFO_MASK) === HEAP2_VISIBLE
}

function isSegmentAt(bytes: Uint8Array, startLsn: bigint, majorVersion: number): boolean {
  const { magic, pageLsn } = decodePageHeader(
    new DataView(bytes.buffer, bytes.byteOffset, LONG_HEADER_BYTES),
    0,
  )
  return pageLsn === startLsn && majorByMagic(magic) === majorVersion
}

function readSegment(file: string): Uint8Array | undefined {
  try {
    return fs.readFileSync(file)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read', file)
  }
}

/** The first block on the disk that is older than the WAL has it. */
function findStale(search: UnwrittenSearch, { relations }: LastChanges): string | undefined {
  const { control, root, isPatched } = search
  const { blocksPerSegment, blockBytes } = control
  const folders = tablespaceFolders(root)
  for (const [relation, blocks] of relations) {
    const [tablespace, database, node] = relation.split('/') as [string, string, string]
    const folder = folders(tablespace, database)
    if (folder === undefined) continue
    for (const [block, startLsn] of blocks) {
      const piece = Math.floor(block / blocksPerSegment)
      const name = `${folder}/${node}${piece === 0 ? '' : `.${piece}`}`
      if (!isPatched(name)) continue
      const lsn = pageLsnAt(path.join(root, name), (block % blocksPerSegment) * blockBytes)
      // what the file does not have must come with the increment: that is looked at when it is applied
      if (lsn !== undefined && lsn <= startLsn) return `block ${block} of "${name}" is older there`
    }
  }
  return undefined
}

/** Where the relations of a database are; undefined for shared ones, which are never patched. */
function tablespaceFolders(root: string): (tablespace: string, database: string) => string | undefined {
  const versions = new Map<string, string | undefined>()
  return (tablespace, database) => {
    if (tablespace === '1663') return `base/${database}`
    if (tablespace === '1664') return undefined
    if (!versions.has(tablespace)) versions.set(tablespace, versionFolder(root, tablespace))
    const version = versions.get(tablespace)
    return version === undefined ? undefined : `pg_tblspc/${tablespace}/${version}/${database}`
  }
}

function versionFolder(root: string, tablespace: string): string | undefined {
  const place = path.join(root, 'pg_tblspc', tablespace)
  try {
    return fs.readdirSync(place).find(name => name.startsWith('PG_'))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read', place)
  }
}

/** Undefined when there is no such file, or it ends before. */
function pageLsnAt(file: string, position: number): Lsn | undefined {
  const head = new Uint8Array(8)
  let fd: number | undefined
  try {
    fd = fs.openSync(file, 'r')
    if (fs.readSync(fd, head, 0, head.length, position) < head.length) return undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read', file)
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
  const view = new DataView(head.buffer)
  return toLsn((BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true)))
}
