import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { incrementSizeBytes } from '../../../delta/increment.ts'
import { DataEntryColumns } from '../../../postgres/walk/data-entries.ts'
import { measureDelta } from './delta-size.ts'
import { FilePlan } from './file-plan.ts'

const PAGE = 8192
const SINCE = 1000n
const folder = mkdtempSync(join(tmpdir(), 'delta-size-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function pages(lsns: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(lsns.length * PAGE)
  const view = new DataView(bytes.buffer)
  for (const [index, lsn] of lsns.entries()) {
    const at = index * PAGE
    view.setUint32(at + 4, lsn, true)
    view.setUint16(at + 12, 24, true)
    view.setUint16(at + 14, PAGE, true)
    view.setUint16(at + 16, PAGE, true)
    view.setUint16(at + 18, PAGE | 4, true)
  }
  return bytes
}

test('the size of a delta is exact with block maps, and close by a sample without', () => {
  const entries = new DataEntryColumns()
  const place = entries.addPlace(folder, '/base/5')
  const add = (name: string, content: Uint8Array): void => {
    writeFileSync(join(folder, name), content)
    const times = { mtimeNs: 0n, ctimeNs: 0n }
    entries.add(place, name, {
      kind: 'file',
      sizeBytes: content.length,
      mode: 0o600,
      uid: 0,
      gid: 0,
      ...times,
    })
  }
  // every tenth page has changed, in a file with more pages than are looked at
  add('scanned', pages(Array.from({ length: 1000 }, (_, block) => (block % 10 === 0 ? 2000 : 10))))
  add('mapped', pages([10, 10, 10, 10]))
  add('whole', new Uint8Array(777))
  add('skipped', pages([10, 10]))
  const plan = new FilePlan(entries.count)
  plan.set(0, 'scan', undefined)
  plan.setBlocks(1, new Uint32Array([1, 3]), undefined)
  plan.set(3, 'skip', undefined)
  const input = { entries, isFile: () => true, plan, pageBytes: PAGE, sinceLsn: SINCE }
  const size = measureDelta(input)
  expect(size.fullBytes).toBe(1006 * PAGE + 777)
  expect(size.isEstimated).toBe(true)
  const sampled = size.deltaBytes - incrementSizeBytes(2, PAGE) - 777
  expect(sampled / (1000 * PAGE)).toBeGreaterThan(0.03)
  expect(sampled / (1000 * PAGE)).toBeLessThan(0.25)
  plan.set(0, 'skip', undefined)
  expect(measureDelta(input)).toEqual({
    fullBytes: 1006 * PAGE + 777,
    deltaBytes: incrementSizeBytes(2, PAGE) + 777,
    isEstimated: false,
  })
})
