import { expect, test } from 'bun:test'
import type { ChangedPages } from '../../../delta/changed-pages.ts'
import { settledMoment } from './settled-moment.ts'

const moments = { begunNs: 20n, walkedNs: 30n }
const changed: ChangedPages = { source: 'test', changesOf: () => 'unknown' }
const base = (settledNs: bigint | undefined, isMapped = true) => ({
  changed: isMapped ? changed : undefined,
  files: { settledNs },
})

test('what a full backup or a reading delta has seen is settled when it was written before the walk', () => {
  for (const startsNow of [true, false]) {
    expect(settledMoment({ startsNow }, undefined, moments)).toBe(30n)
    expect(settledMoment({ startsNow }, base(10n, false), moments)).toBe(30n)
  }
})

test('after a delta by a block map, when it was written before the start', () => {
  expect(settledMoment({ startsNow: true }, base(10n), moments)).toBe(20n)
})

test('after one on a standby, when it was settled in the parent', () => {
  expect(settledMoment({ startsNow: false }, base(10n), moments)).toBe(10n)
  expect(settledMoment({ startsNow: false }, base(25n), moments)).toBe(20n)
  expect(settledMoment({ startsNow: false }, base(undefined), moments)).toBe(0n)
})
