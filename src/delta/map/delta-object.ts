import { WalgError } from '../../kit/errors.ts'
import { type Lsn, toLsn } from '../../postgres/lsn.ts'
import { BinaryReader, BinaryWriter } from './binary.ts'
import { BlockSet } from './block-set.ts'
import { ChangeMap, NO_LIMIT } from './change-map.ts'
import { readLimits, writeLimits } from './map-encoding.ts'

/** Segments that one `_delta` object stands for. */
export const DELTA_GROUP_SEGMENTS = 16

/** Ours, behind what WAL-G reads. */
const TRAILER_MAGIC = Buffer.from('walgmap1')

/** What a `_delta` object is about; WAL-G's own objects do not say. */
export interface DeltaRange {
  readonly systemIdentifier: bigint
  readonly timeline: number
  /** First position of the group's first segment, and of the segment behind its last one. */
  readonly beginLsn: Lsn
  readonly endLsn: Lsn
}

export interface DeltaObject {
  /** Changes by all records that end in the group. */
  readonly map: ChangeMap
  /** The beginning of the record that goes on behind the group, without page headers; empty when there is none. */
  readonly pendingBytes: Uint8Array
  /**
   * undefined: written by WAL-G. Such a map does not know of relations that were cut, made anew or copied as files, so that it is
   * not enough to leave blocks unread.
   */
  readonly range: DeltaRange | undefined
}

/**
 * Encodes a `_delta` object (storage-format 4.4): sorted locations, a location of zeros, the pending record; then, ours,
 * what locations cannot say, with a CRC-32C of everything. Where a relation was cut, its first lost block is a
 * location too: WAL-G then knows at least that the relation changed.
 */
export function encodeDeltaObject(delta: DeltaObject & { readonly range: DeltaRange }): Uint8Array {
  const { map, pendingBytes, range } = delta
  const writer = new BinaryWriter()
  for (const { tablespace, database, relation, limitBlock, blocks } of map.relations()) {
    const locations = new BlockSet()
    locations.addAll(blocks)
    if (limitBlock !== NO_LIMIT) locations.add(limitBlock)
    for (const block of locations.between(0, NO_LIMIT)) writer.u32(tablespace, database, relation, block)
  }
  writer.u32(0, 0, 0, 0)
  writer.counted(pendingBytes)
  writer.raw(TRAILER_MAGIC)
  writer.u64(range.systemIdentifier)
  writer.u32(range.timeline)
  writer.u64(range.beginLsn)
  writer.u64(range.endLsn)
  writeLimits(writer, map)
  return writer.endWithCrc()
}

/** Decodes ours and WAL-G's. Throws FORMAT_TRUNCATED, FORMAT_INVALID, CHECKSUM_MISMATCH. */
export function decodeDeltaObject(bytes: Uint8Array, name: string): DeltaObject {
  const reader = new BinaryReader(bytes, `"${name}"`)
  const map = new ChangeMap()
  for (;;) {
    const [tablespace, database, relation, block] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()]
    if (tablespace === 0 && database === 0 && relation === 0 && block === 0) break
    map.block(tablespace, database, relation, 0, block)
  }
  const pendingBytes = reader.counted()
  if (reader.restBytes === 0) return { map, pendingBytes, range: undefined }
  if (Buffer.compare(reader.raw(TRAILER_MAGIC.length), TRAILER_MAGIC) !== 0) {
    throw new WalgError('FORMAT_INVALID', `"${name}" goes on behind its end`)
  }
  const range = {
    systemIdentifier: reader.u64(),
    timeline: reader.u32(),
    beginLsn: toLsn(reader.u64()),
    endLsn: toLsn(reader.u64()),
  }
  readLimits(reader, map)
  reader.endWithCrc()
  return { map, pendingBytes, range }
}
