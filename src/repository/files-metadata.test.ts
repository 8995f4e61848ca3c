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
