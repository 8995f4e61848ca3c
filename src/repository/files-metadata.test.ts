import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { collect, streamOf } from '../kit/bytes.ts'
import { parseTimestamp, timestampFromNs } from '../kit/timestamp.ts'
import { type FileEntry, FilesMetadata } from './files-metadata.ts'
import { decodeFilesMetadata, encodeFilesMetadata } from './files-metadata-document.ts'

const mtime = parseTimestamp('2026-11-22T17:00:55.902274652+05:30')

async function encode(files: FilesMetadata): Promise<string> {
  return new TextDecoder().decode(await collect(encodeFilesMetadata(files), 1 << 24))
}

function decode(text: string): Promise<FilesMetadata> {
  return decodeFilesMetadata('x/files_metadata.json', streamOf(new TextEncoder().encode(text)))
}

test('the document has the shape that the original reads', async () => {
  const files = new FilesMetadata()
  files.addFile({ name: '/base/5/2670', isIncremented: false, isSkipped: true, mtime })
  files.addFile({
    name: '/a<b>&\u2028',
    isIncremented: true,
    isSkipped: false,
    mtime,
    updatesCount: 18446744073709551615n,
    corruptBlocks: { count: 12, some: [1, 7] },
  })
  files.addPartMember('part_001.tar.lz4', '/a<b>&\u2028')
  files.addPartMember('backup_label.tar.lz4', 'tablespace_map')
  files.databases = '{"postgres":{"oid":5}}'
  expect(await encode(files)).toBe(
    '{"Files":{' +
      '"/base/5/2670":{"IsIncremented":false,"IsSkipped":true,"MTime":"2026-11-22T17:00:55.902274652+05:30","UpdatesCount":0},' +
      '"/a<b>&\u2028":{"IsIncremented":true,"IsSkipped":false,"MTime":"2026-11-22T17:00:55.902274652+05:30",' +
      '"CorruptBlocks":{"CorruptBlocksCount":12,"SomeCorruptBlocks":[1,7]},"UpdatesCount":18446744073709551615}},' +
      '"TarFileSets":{"part_001.tar.lz4":["/a<b>&\u2028"],"backup_label.tar.lz4":["tablespace_map"]},' +
      '"DatabasesByNames":{"postgres":{"oid":5}}}',
  )
})

test('nothing is written for what is empty', async () => {
  expect(await encode(new FilesMetadata())).toBe('{}')
  expect((await decode('{"Files":null,"TarFileSets":{}}')).filesCount).toBe(0)
})

test('keys are found in any case and order, indented, and unknown ones are ignored', async () => {
  const files = await decode(
    '{\n "tarfilesets": {"p": ["/x"], "q": null},\n "Own": {"deep": [1]},\n "files": {"/x": {"updatescount": 3, "mtime": "2026-01-01T00:00:00Z", "isskipped": true, "extra": 1}}\n}\n',
  )
  const entry = files.entry(files.find('/x'))
  expect(entry).toMatchObject({ isSkipped: true, isIncremented: false, updatesCount: 3n })
  expect(files.partNames()).toEqual(['p', 'q'])
  expect([...files.partMembers('p')]).toEqual(['/x'])
})

test('a member of a part that is not in Files is no file', async () => {
  const files = await decode('{"TarFileSets":{"backup_label.tar.lz4":["tablespace_map","backup_label"]}}')
  expect(files.filesCount).toBe(0)
  expect(files.find('backup_label')).toBe(-1)
  expect([...files.partMembers('backup_label.tar.lz4')]).toEqual(['tablespace_map', 'backup_label'])
})

test('block numbers in the bare array of old versions are read', async () => {
  const files = await decode('{"Files":{"/x":{"MTime":"2026-01-01T00:00:00Z","CorruptBlocks":[3,4]}}}')
  expect(files.entry(0).corruptBlocks).toEqual({ count: 2, some: [3, 4] })
})

test.each([
  '',
  '{"Files":{"/x":{"MTime":"2026-01-01T00:00:00Z"}',
  '{"Files":{"/x":[]}}',
  '{"Files":{"/x":{"MTime":"yesterday"}}}',
  '{"Files":{"/x":{"MTime":"2026-01-01T00:00:00Z","IsSkipped":"no"}}}',
  '{"Files":{"/x":{"MTime":"2026-01-01T00:00:00Z","UpdatesCount":-1}}}',
  '{"TarFileSets":{"p":"x"}}',
  '{"TarFileSets":{"p":[1]}}',
])('the damaged document %p is reported with its name', async text => {
  await expect(decode(text)).rejects.toMatchObject({
    code: 'BACKUP_BROKEN',
    message: expect.stringContaining('x/files_metadata.json'),
  })
})

test('every set of files comes back from its document', async () => {
  const names = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).map(name => `/${name}`)
  const entries: fc.Arbitrary<FileEntry> = fc.record({
    name: names,
    isIncremented: fc.boolean(),
    isSkipped: fc.boolean(),
    mtime: fc
      .tuple(fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }), fc.integer({ min: -720, max: 840 }))
      .map(([ns, offset]) => timestampFromNs(ns, offset)),
    updatesCount: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  })
  const sets = fc.uniqueArray(entries, { selector: entry => entry.name, maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(sets, async expected => {
      const files = new FilesMetadata()
      for (const entry of expected) files.addFile(entry)
      for (const { name } of expected) files.addPartMember(`part_00${name.length % 3}.tar`, name)
      const again = await decode(await encode(files))
      const byName = (set: Iterable<FileEntry>): FileEntry[] =>
        [...set].sort((left, right) => (left.name < right.name ? -1 : 1))
      expect(byName(again.entries())).toEqual(byName(expected))
      for (const part of files.partNames()) {
        expect([...again.partMembers(part)]).toEqual([...files.partMembers(part)])
      }
    }),
    { seed },
  )
})

test('an entry added again replaces the first', () => {
  const files = new FilesMetadata()
  const index = files.addFile({ name: '/x', isIncremented: true, isSkipped: false, mtime, updatesCount: 4n })
  expect(files.addFile({ name: '/x', isIncremented: false, isSkipped: true, mtime })).toBe(index)
  expect(files.filesCount).toBe(1)
  expect(files.entry(index)).toEqual({
    name: '/x',
    isIncremented: false,
    isSkipped: true,
    mtime,
    updatesCount: 0n,
  })
})

test('tens of thousands of files come back, whether their group is in the usual form or not', async () => {
  const files = new FilesMetadata()
  const odd = new Set([0, 9_999, 10_000, 29_999])
  for (let number = 0; number < 30_000; number += 1) {
    const name = odd.has(number) ? `/base/5/"${number}\u00e9"` : `/base/5/${number}`
    const updatesCount = number % 1000 === 0 ? BigInt(number) << 40n : 0n
    files.addFile({ name, isIncremented: number % 3 === 0, isSkipped: number % 3 === 1, mtime, updatesCount })
    files.addPartMember(`part_00${number % 2}.tar.lz4`, name)
  }
  files.addPart('part_002.tar.lz4')
  files.addPartMember('part_003.tar.lz4', '/base/5/1')
  const again = await decode(await encode(files))
  expect(again.filesCount).toBe(30_000)
  for (const entry of files.entries()) expect(again.entry(again.find(entry.name))).toEqual(entry)
  expect(again.partNames()).toEqual(files.partNames())
  for (const part of files.partNames()) {
    expect([...again.partMembers(part)]).toEqual([...files.partMembers(part)])
  }
})

test('the fast way reads nothing that a JSON parser would not, whatever byte is damaged', async () => {
  const files = new FilesMetadata()
  files.addFile({ name: '/base/5/1', isIncremented: false, isSkipped: true, mtime })
  files.addPartMember('part_001.tar', '/base/5/1')
  const text = await encode(files)
  for (let at = 0; at < text.length; at += 1) {
    for (const letter of ['x', '"', ',', '}', ']', '0', '']) {
      const damaged = text.slice(0, at) + letter + text.slice(at + 1)
      const read = await decode(damaged).catch(error => {
        expect(error.code).toBe('BACKUP_BROKEN')
        return null
      })
      if (read === null) continue
      const parsed = JSON.parse(damaged) as Record<string, Record<string, unknown>>
      expect([...read.entries()].map(({ name }) => name)).toEqual(Object.keys(parsed['Files'] ?? {}))
      expect(Object.fromEntries(read.partNames().map(part => [part, [...read.partMembers(part)]]))).toEqual(
        (parsed['TarFileSets'] ?? {}) as Record<string, string[]>,
      )
    }
  }
})
