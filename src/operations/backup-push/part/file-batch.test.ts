import { describe, expect, test } from 'bun:test'
import { DataEntryColumns } from '../../../postgres/walk/data-entries.ts'
import { type BatchFile, FileBatch, FileBatchBuilder, type FileBatchData } from './file-batch.ts'
import { type FeedRequest, FileFeed } from './file-feed.ts'
import { PackedFiles } from './packed-files.ts'

const attributes = { mode: 0o600, uid: 999, gid: 4_000_000_000, mtimeNs: 1_700_000_000_123_456_789n }
const tablespace = { path: '/mnt/ts/PG_15_202209061/5', member: '/pg_tblspc/16400/PG_15_202209061/5' }
const base = { path: '/srv/pg/base/5', member: '/base/5' }
const root = { path: '/srv/pg', member: '' }

function entriesOf(files: readonly { name: string; sizeBytes: number }[]): DataEntryColumns {
  const entries = new DataEntryColumns()
  const place = entries.addPlace(base.path, base.member)
  for (const { name, sizeBytes } of files)
    entries.add(place, name, { kind: 'file', ...attributes, ctimeNs: 0n, sizeBytes })
  return entries
}

describe('a batch of files', () => {
  test('gives back every column exactly, tablespaces and odd names included', () => {
    const builder = new FileBatchBuilder(4)
    const files: readonly (readonly [number, typeof base, string, number])[] = [
      [7, root, 'PG_VERSION', 3],
      [9, base, '1259', 2 ** 33],
      [2, tablespace, '16401', 8192],
      [9, base, 'таблица с\nпробелом', 1],
    ]
    for (const [number, place, name, sizeBytes] of files)
      builder.add(number, place, name, { ...attributes, sizeBytes })
    const batch = new FileBatch(structuredClone(builder.finish(40)))
    expect(batch.count).toBe(4)
    expect(batch.data.firstTurn).toBe(40)
    expect(batch.data.bytes).toBe(2 ** 33 + 8196)
    for (const [row, [, place, name, sizeBytes]] of files.entries()) {
      const expected: BatchFile = {
        ...attributes,
        sizeBytes,
        path: `${place.path}/${name}`,
        memberName: `${place.member}/${name}`,
      }
      expect(batch.file(row)).toEqual(expected)
    }
  })

  test('holds names of any length', () => {
    const builder = new FileBatchBuilder(100)
    for (let n = 0; n < 100; n++) builder.add(0, base, 'ф'.repeat(n * 20), { ...attributes, sizeBytes: n })
    const batch = new FileBatch(builder.finish(0))
    for (let n = 0; n < 100; n++) expect(batch.file(n).path).toBe(`/srv/pg/base/5/${'ф'.repeat(n * 20)}`)
  })
})

describe('packed files', () => {
  const MIB = 1 << 20
  const sizes = [5, 3 * MIB, 9, 30 * MIB, 1 * MIB, 0, 12 * MIB]
  const all = (files: PackedFiles): FileBatchData[] => {
    const batches: FileBatchData[] = []
    for (;;) {
      const batch = files.nextBatch(false)
      if (batch === undefined || batch === 'not yet') return batches
      batches.push(batch)
    }
  }

  test('are handed out once each, large ones first and alone, small ones in the order of the walk', () => {
    const files = new PackedFiles(
      entriesOf(sizes.map((sizeBytes, n) => ({ name: String(n), sizeBytes }))),
      () => true,
    )
    const names = all(files).map(data => {
      const batch = new FileBatch(data)
      return Array.from({ length: batch.count }, (_, row) => batch.file(row).path.slice(base.path.length + 1))
    })
    expect(names).toEqual([['3'], ['6'], ['1', '4', '0', '2', '5']])
    expect(files.totalBytes).toBe(sizes.reduce((sum, size) => sum + size, 0))
  })

  test('large ones are kept back from a worker that has something to do', () => {
    const files = new PackedFiles(
      entriesOf([
        { name: 'large', sizeBytes: 9 * MIB },
        { name: 'small', sizeBytes: 1 },
      ]),
      () => true,
    )
    expect(files.nextBatch(true)).toBe('not yet')
    expect(files.nextBatch(false)).toBeObject()
    expect(files.nextBatch(true)).toBeObject()
    expect(files.nextBatch(true)).toBeUndefined()
  })

  test('the last large one is told, when the others would wait for it', () => {
    const isLast = (sizes: readonly number[], workersCount: number): boolean[] => {
      const named = sizes.map((size, n) => ({ name: String(n), sizeBytes: size * MIB }))
      const files = new PackedFiles(entriesOf(named), () => true)
      return sizes.map(() => (files.nextBatch(false, workersCount) as FileBatchData).isLast)
    }
    expect(isLast([500, 400, 100, 50], 2)).toEqual([false, true, true, true])
    expect(isLast([500, 400, 100, 20], 3)).toEqual([true, true, true, false])
    expect(isLast([500, 400], 1)).toEqual([false, false])
    expect(isLast([1000, 990, 980], 2)).toEqual([false, false, true])
  })

  test('tell how much there is from here on', () => {
    const named = [30, 20, 10].map((size, n) => ({ name: String(n), sizeBytes: size * MIB }))
    expect(
      all(new PackedFiles(entriesOf(named), () => true)).map(({ leftBytes }) => leftBytes / MIB),
    ).toEqual([60, 30, 10])
  })

  test('know what became of each, and leave out what is no file', () => {
    const entries = entriesOf(['a', 'skip', 'b', 'c'].map(name => ({ name, sizeBytes: 1 })))
    const files = new PackedFiles(entries, index => entries.baseName(index) !== 'skip')
    expect(files.count).toBe(3)
    const [data] = all(files)
    const batch = new FileBatch(data!)
    batch.setPacked(0, 7, '00112233445566778899aabbccddeeff')
    batch.setVanished(1)
    files.record(structuredClone(data!))
    const indexes = [...files.indexes()]
    expect(indexes.map(index => files.state(index))).toEqual(['packed', 'vanished', 'waiting'])
    expect(files.part(indexes[0]!)).toBe(7)
    expect(files.hash(indexes[0]!)).toBe('00112233445566778899aabbccddeeff')
  })
})

describe('the feed of a worker', () => {
  const batchOf = (firstTurn: number, bytes: number): FileBatchData => ({
    firstTurn,
    group: 0,
    bytes,
    isLast: false,
    leftBytes: 0,
    rows: new ArrayBuffer(0),
    names: new ArrayBuffer(0),
    places: [],
    blocks: new Map(),
    zeroes: new Map(),
  })

  test('asks one batch ahead while files are small, once at a time', async () => {
    const requests: FeedRequest[] = []
    const feed = new FileFeed(request => requests.push(request))
    const first = feed.next(undefined)
    feed.receive(batchOf(0, 10))
    expect((await first)?.firstTurn).toBe(0)
    expect(requests).toEqual([
      { kind: 'more files', isAhead: false },
      { kind: 'more files', isAhead: true },
    ])
    feed.receive(batchOf(1, 10))
    expect((await feed.next(batchOf(0, 10)))?.firstTurn).toBe(1)
    feed.receive(undefined)
    expect(await feed.next(undefined)).toBeUndefined()
    expect(await feed.next(undefined)).toBeUndefined()
    expect(requests.filter(request => request.kind === 'files done').length).toBe(1)
  })

  test('does not ask ahead behind a large file, and asks again after "not yet" when it has nothing to do', async () => {
    const requests: FeedRequest[] = []
    const feed = new FileFeed(request => requests.push(request))
    const first = feed.next(undefined)
    feed.receive(batchOf(0, 1 << 30))
    await first
    expect(requests.length).toBe(1)
    const second = feed.next(undefined)
    expect(requests.length).toBe(2)
    feed.receive('not yet')
    expect(requests.length).toBe(3)
    feed.receive(batchOf(1, 1))
    expect((await second)?.firstTurn).toBe(1)
  })
})
