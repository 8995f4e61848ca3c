import { afterAll, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '../../../kit/log.ts'
import { DataEntryColumns } from '../../../postgres/walk/data-entries.ts'
import { planCatchup } from './plan-catchup.ts'

const PAGE = 8192
const FROM = 1000n
const folder = mkdtempSync(join(tmpdir(), 'plan-catchup-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Methods by name, of relations given as the LSNs of their pages. */
function methodsOf(
  files: Readonly<Record<string, readonly number[]>>,
  areMarksInLsn = true,
): Record<string, string> {
  const entries = new DataEntryColumns()
  const places = new Map<string, number>()
  for (const [name, lsns] of Object.entries(files)) {
    const bytes = new Uint8Array(lsns.length * PAGE)
    for (const [page, lsn] of lsns.entries()) new DataView(bytes.buffer).setUint32(page * PAGE + 4, lsn, true)
    const cut = name.lastIndexOf('/')
    const path = join(folder, name.slice(0, cut))
    mkdirSync(path, { recursive: true })
    writeFileSync(join(folder, name), bytes)
    const attributes = { mode: 0o600, uid: 0, gid: 0, mtimeNs: 0n, ctimeNs: 0n }
    const place = places.get(path) ?? entries.addPlace(path, name.slice(0, cut))
    places.set(path, place)
    entries.add(place, name.slice(cut + 1), { kind: 'file', sizeBytes: bytes.length, ...attributes })
  }
  const marks = areMarksInLsn ? undefined : { sinceLsn: FROM, pageBytes: PAGE, blocksPerSegment: 131_072 }
  const input = { entries, isFile: () => true, pageBytes: PAGE, fromLsn: FROM, marks }
  const plan = planCatchup({ log: silentLogger }, input)
  return Object.fromEntries(Object.keys(files).map((name, index) => [name, plan.method(index)]))
}

test('a database that may have been copied meanwhile is stored whole', () => {
  expect(
    methodsOf({
      '/base/5/1259': [5, 2000], // of initdb
      '/base/16400/1259': [5], // proved to be old by the next one
      '/base/16400/16500': [2000, 5],
      '/base/16401/1259': [5], // all of its old pages may be those of a template
      '/base/16401/16600': [5],
      '/base/16402/16600': [5],
      '/base/16403/16700': [1000, 2000], // nothing old at all
      '/base/70000/1259': [5], // came with a template that is gone
      '/base/70000/16800': [5],
      '/pg_tblspc/16900/PG_15_202209061/16400/16901': [5],
      '/pg_tblspc/16900/PG_15_202209061/70000/16902': [5],
    }),
  ).toEqual({
    '/base/5/1259': 'scan',
    '/base/16400/1259': 'scan',
    '/base/16400/16500': 'scan',
    '/base/16401/1259': 'whole',
    '/base/16401/16600': 'whole',
    '/base/16402/16600': 'whole',
    '/base/16403/16700': 'whole',
    '/base/70000/1259': 'whole',
    '/base/70000/16800': 'whole',
    '/pg_tblspc/16900/PG_15_202209061/16400/16901': 'scan',
    '/pg_tblspc/16900/PG_15_202209061/70000/16902': 'whole',
  })
})

test('unlogged relations, other forks and shared relations are stored whole', () => {
  const methods = methodsOf({
    '/base/5/16384': [5],
    '/base/5/16384_init': [5],
    '/base/5/16385': [5],
    '/base/5/16385_vm': [5],
    '/global/1262': [5],
  })
  expect(Object.keys(methods).filter(name => methods[name] === 'scan')).toEqual(['/base/5/16385'])
})

test('without checksums the marked pages of a table are taken that was vacuumed since, because their LSN does not tell', () => {
  const files = {
    '/base/5/16384': [5],
    '/base/5/16384_vm': [1000],
    '/base/5/16385': [5],
    '/base/5/16385_vm': [999],
  }
  expect(methodsOf(files, false)).toMatchObject({ '/base/5/16384': 'scan visible', '/base/5/16385': 'scan' })
  expect(methodsOf(files, true)).toMatchObject({ '/base/5/16384': 'scan', '/base/5/16385': 'scan' })
})
