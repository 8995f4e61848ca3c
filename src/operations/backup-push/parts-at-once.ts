import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

const PARTS_MIN = 2
const PARTS_MAX = 8

/** Parts to pack side by side when nobody says: 2, or a quarter of the CPUs that this process may use, at most 8. */
export function defaultPartsAtOnce(cpus: number = usableCpus()): number {
  return Math.min(PARTS_MAX, Math.max(PARTS_MIN, Math.floor(cpus / 4)))
}

/** CPUs of the machine, or of the control group when that has fewer. */
export function usableCpus(root: string = '/sys/fs/cgroup'): number {
  const machine = availableParallelism()
  const quota = quotaOfV2(root) ?? quotaOfV1(root)
  return quota === undefined ? machine : Math.min(machine, Math.max(1, Math.floor(quota)))
}

function quotaOfV2(root: string): number | undefined {
  const [quota, period] = readWords(`${root}/cpu.max`)
  return ratio(quota, period)
}

function quotaOfV1(root: string): number | undefined {
  const [quota] = readWords(`${root}/cpu/cpu.cfs_quota_us`)
  const [period] = readWords(`${root}/cpu/cpu.cfs_period_us`)
  return ratio(quota, period)
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const value = Number(quota) / Number(period)
  return Number.isFinite(value) && value > 0 ? value : undefined
}

/** A file that is not there says nothing: no control group, or another version of them. */
function readWords(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').trim().split(/\s+/)
  } catch {
    return []
  }
}
