import { describe, expect, test } from 'bun:test'
import { defaultMemoryLimitBytes } from './memory-limit.ts'

const MIB = 1024 * 1024

function limit(files: Record<string, string>): number {
  return defaultMemoryLimitBytes(path => {
    const text = files[path]
    if (text === undefined) throw new Error('ENOENT')
    return text
  })
}

describe('the default of WALG_MEMORY_LIMIT', () => {
  test('is 512 MiB where nothing limits the process', () => {
    expect(limit({})).toBe(512 * MIB)
    expect(limit({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': 'max\n' })).toBe(512 * MIB)
  })

  test('is an eighth of the lowest limit of its control group and those above, version 2', () => {
    const files = {
      '/proc/self/cgroup': '0::/system.slice/postgresql.service\n',
      '/sys/fs/cgroup/system.slice/postgresql.service/memory.max': String(2048 * MIB),
      '/sys/fs/cgroup/system.slice/memory.max': String(1024 * MIB),
    }
    expect(limit(files)).toBe(128 * MIB)
  })

  test('is an eighth of the limit of version 1, which a container sees at its root', () => {
    const files = {
      '/proc/self/cgroup': '5:cpu:/x\n4:memory:/docker/abc\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': String(1024 * MIB),
    }
    expect(limit(files)).toBe(128 * MIB)
  })

  test('is never too small to work with', () => {
    const files = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': String(64 * MIB) }
    expect(limit(files)).toBe(16 * MIB)
  })
})
