import { describe, expect, test } from 'bun:test'
import type { EntryPlace } from '../../postgres/walk/data-entries.ts'
import { FileTable, FileTableBuilder, type TableFile } from './file-table.ts'

const attributes = {
  mode: 0o100600,
  uid: 999,
  gid: 4_000_000_000,
  mtimeNs: 1_700_000_000_123_456_789n,
}

/** A file below `member`, which lies at `/srv/pg` and the member name, or at `path`. */
const file = (memberName: string, sizeBytes: number, path = `/srv/pg${memberName}`): TableFile => ({
  ...attributes,
  path,
  memberName,
  sizeBytes,
})

function tableOf(files: readonly TableFile[]): FileTable {
  const builder = new FileTableBuilder()
  const places: EntryPlace[] = []
  for (const each of files) {
    const slash = each.memberName.lastIndexOf('/')
    const member = each.memberName.slice(0, slash)
    const known = places.findIndex(place => place.member === member)
    const place =
      known >= 0 ? known : places.push({ path: each.path.slice(0, each.path.lastIndexOf('/')), member }) - 1
    builder.add(place, each.memberName.slice(slash + 1), each)
  }
  return new FileTable(structuredClone(builder.finish(places)))
}

describe('the table of files', () => {
  test('gives back every column exactly, tablespaces and odd names included', () => {
    const files = [
      file('/PG_VERSION', 3),
      file('/base/1/1259', 2 ** 33),
      file('/pg_tblspc/16400/PG_15_202209061/5/16401', 8192, '/mnt/ts/PG_15_202209061/5/16401'),
      file('/base/таблица с\nпробелом', 1),
      file('/pg_tblspc/16401/PG_15_202209061/5/16402', 8192, '/mnt/ts2/PG_15_202209061/5/16402'),
    ]
    const table = tableOf(files)
    expect(table.count).toBe(files.length)
    for (const [row, each] of files.entries()) expect(table.file(row)).toEqual(each)
  })

  test('holds more rows and names than one chunk', () => {
    const files = Array.from({ length: 40_000 }, (_, n) =>
      file(`/base/16384/${'d'.repeat(n % 90)}/${n}`, n % 7),
    )
    const table = tableOf(files)
    for (const row of [0, 16_383, 16_384, 32_768, 39_999]) expect(table.file(row)).toEqual(files[row]!)
  })

  test('hands out large files first and small ones in the order of the walk, each once', () => {
    const sizes = [5, 3 << 20, 9, 8 << 20, 1 << 20, 0]
    const table = tableOf(sizes.map((size, n) => file(`/base/${n}`, size)))
    expect(sizes.map((_, turn) => table.rowOfTurn(turn))).toEqual([3, 1, 4, 0, 2, 5])
  })

  test('keeps what became of each file', () => {
    const table = tableOf([file('/a', 1), file('/b', 2), file('/c', 3)])
    table.setPacked(0, 7, '00112233445566778899aabbccddeeff')
    table.setVanished(1)
    expect([0, 1, 2].map(row => table.state(row))).toEqual(['packed', 'vanished', 'waiting'])
    expect(table.part(0)).toBe(7)
    expect(table.hash(0)).toBe('00112233445566778899aabbccddeeff')
    expect(table.part(1)).toBe(0)
  })

  test('is empty without files', () => {
    expect(tableOf([]).count).toBe(0)
  })
})
