import { expect, test } from 'bun:test'
import { DataEntryColumns } from '../../postgres/walk/data-entries.ts'
import { type Arrangement, byDirectory, byRating } from './composer.ts'
import { FileBatch } from './part/file-batch.ts'
import { PackedFiles } from './part/packed-files.ts'

const NAMES = [
  '/base/5/16384',
  '/base/5/16385',
  '/base/6/16384',
  '/global/1262',
  '/pg_xact/0000',
  '/base/5/16384.1',
]

function entriesOf(names: readonly string[]): DataEntryColumns {
  const entries = new DataEntryColumns()
  const places = new Map<string, number>()
  for (const name of names) {
    const cut = name.lastIndexOf('/')
    const folder = name.slice(0, cut)
    const place = places.get(folder) ?? entries.addPlace(`/data${folder}`, folder)
    places.set(folder, place)
    const attributes = { mode: 0o600, uid: 0, gid: 0, mtimeNs: 0n, ctimeNs: 0n }
    entries.add(place, name.slice(cut + 1), { kind: 'file', sizeBytes: 8192, ...attributes })
  }
  return entries
}

/** What is handed out together, with the number of its group. */
function batchesOf(entries: DataEntryColumns, arrangement: Arrangement): [number, string[]][] {
  const files = new PackedFiles(entries, () => true, undefined, arrangement)
  const batches: [number, string[]][] = []
  for (let data = files.nextBatch(false); typeof data === 'object'; data = files.nextBatch(false)) {
    const batch = new FileBatch(data)
    const names = Array.from({ length: batch.count }, (_, row) => batch.file(row).memberName)
    batches.push([data.group, names])
  }
  return batches
}

test('every directory of a database is handed out for itself, all else in front', () => {
  const entries = entriesOf(NAMES)
  const found = batchesOf(entries, byDirectory(entries)).map(([, names]) => names.sort())
  expect(found).toEqual([
    ['/global/1262', '/pg_xact/0000'],
    ['/base/5/16384', '/base/5/16384.1', '/base/5/16385'],
    ['/base/6/16384'],
  ])
})

test('what is never updated comes first and shares no part with what is, the most often updated last', () => {
  const entries = entriesOf(NAMES)
  const updates = new Map([
    ['1663/5/16384', 9n],
    ['1663/6/16384', 3n],
  ])
  const arrangement = byRating(entries, updates)
  const [cold, warm] = batchesOf(entries, arrangement)
  expect(cold![1].sort()).toEqual(['/base/5/16385', '/global/1262', '/pg_xact/0000'])
  expect(warm![1]).toEqual(['/base/6/16384', '/base/5/16384', '/base/5/16384.1'])
  const files = new PackedFiles(entries, () => true, undefined, arrangement)
  expect(NAMES.map((_, index) => files.updatesCount(index))).toEqual([9n, 0n, 3n, 0n, 0n, 9n])
})
