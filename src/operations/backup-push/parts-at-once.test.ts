import { expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultPartsAtOnce, usableCpus } from './parts-at-once.ts'

test('parts at once are 2, or a quarter of the CPUs, at most 8', () => {
  const table = [1, 2, 4, 8, 12, 16, 31, 32, 64, 200].map(cpus => defaultPartsAtOnce(cpus))
  expect(table).toEqual([2, 2, 2, 2, 3, 4, 7, 8, 8, 8])
})

test('the CPUs are those of the control group, both versions of it', () => {
  const root = mkdtempSync(join(tmpdir(), 'cgroup-'))
  try {
    expect(usableCpus(root)).toBe(availableParallelism())
    mkdirSync(join(root, 'cpu'))
    writeFileSync(join(root, 'cpu/cpu.cfs_quota_us'), '-1\n')
    writeFileSync(join(root, 'cpu/cpu.cfs_period_us'), '100000\n')
    expect(usableCpus(root)).toBe(availableParallelism())
    writeFileSync(join(root, 'cpu/cpu.cfs_quota_us'), '150000\n')
    expect(usableCpus(root)).toBe(1)
    writeFileSync(join(root, 'cpu.max'), 'max 100000\n')
    expect(usableCpus(root)).toBe(1)
    writeFileSync(join(root, 'cpu.max'), '50000 100000\n')
    expect(usableCpus(root)).toBe(1)
  } finally {
    rmSync(root, { recursive: true })
  }
})
