import type { BinaryReader, BinaryWriter } from './binary.ts'
import { ChangeMap, NO_LIMIT } from './change-map.ts'

const LIMIT_NONE = 0xffff_ffff

/** Everything a map knows: relations with their blocks, databases, the doubt. */
export function writeMap(writer: BinaryWriter, map: ChangeMap): void {
  const relations = map.relations()
  writer.u32(relations.length)
  for (const { tablespace, database, relation, limitBlock, blocks } of relations) {
    const numbers = blocks.between(0, NO_LIMIT)
    writer.u32(tablespace, database, relation, limitBlock === NO_LIMIT ? LIMIT_NONE : limitBlock)
    writer.u32(numbers.length)
    for (const number of numbers) writer.u32(number)
  }
  writeDatabases(writer, map)
}

export function readMap(reader: BinaryReader): ChangeMap {
  const map = new ChangeMap()
  for (let rest = reader.u32(); rest > 0; rest--) {
    const [tablespace, database, relation] = [reader.u32(), reader.u32(), reader.u32()]
    const limitBlock = reader.u32()
    if (limitBlock !== LIMIT_NONE) map.limit(tablespace, database, relation, 0, limitBlock)
    for (let blocks = reader.u32(); blocks > 0; blocks--) {
      map.block(tablespace, database, relation, 0, reader.u32())
    }
  }
  readDatabases(reader, map)
  return map
}

/** What a list of blocks cannot tell: where relations were cut, databases, the doubt. */
export function writeLimits(writer: BinaryWriter, map: ChangeMap): void {
  const relations = map.relations().filter(one => one.limitBlock !== NO_LIMIT)
  writer.u32(relations.length)
  for (const { tablespace, database, relation, limitBlock } of relations) {
    writer.u32(tablespace, database, relation, limitBlock)
  }
  writeDatabases(writer, map)
}

/** Adds them to `map`. */
export function readLimits(reader: BinaryReader, map: ChangeMap): void {
  for (let rest = reader.u32(); rest > 0; rest--) {
    map.limit(reader.u32(), reader.u32(), reader.u32(), 0, reader.u32())
  }
  readDatabases(reader, map)
}

function writeDatabases(writer: BinaryWriter, map: ChangeMap): void {
  const databases = map.databases()
  writer.u32(databases.length)
  for (const { tablespace, database } of databases) writer.u32(tablespace, database)
  writer.counted(Buffer.from(map.doubtReason ?? ''))
}

function readDatabases(reader: BinaryReader, map: ChangeMap): void {
  for (let rest = reader.u32(); rest > 0; rest--) map.database(reader.u32(), reader.u32())
  const doubt = Buffer.from(reader.counted()).toString()
  if (doubt !== '') map.doubt(doubt)
}
