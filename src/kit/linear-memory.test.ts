import { expect, test } from 'bun:test'
import { createLinearMemory } from './linear-memory.ts'

test('areas do not overlap, honour their alignment and never start at zero', () => {
  const memory = createLinearMemory(1 << 16)
  const areas = [1, 64, 100, 4096, 7].map(size => ({ at: memory.allocate(size, 256), size }))
  for (const [i, { at }] of areas.entries()) {
    expect(at % 256).toBe(0)
    expect(at).toBeGreaterThanOrEqual((areas[i - 1]?.at ?? 0) + (areas[i - 1]?.size ?? 1))
  }
})

test('memory grows when an area does not fit; bytes and views stay where they are', () => {
  const memory = createLinearMemory(1 << 16)
  const { bytes } = memory
  const first = memory.allocate(10)
  const view = bytes.subarray(first, first + 10)
  view[0] = 42
  const second = memory.allocate(3 << 20)
  expect(memory.bytes.length).toBeGreaterThanOrEqual(second + (3 << 20))
  expect(memory.bytes).toBe(bytes)
  view[1] = 43
  expect([...memory.bytes.subarray(first, first + 2)]).toEqual([42, 43])
})

test('a released area is given out again, once', () => {
  const memory = createLinearMemory(1 << 16)
  const area = memory.allocate(5_000)
  memory.release(area, 5_000)
  expect(() => memory.release(area, 5_000)).toThrow('once')
  expect(memory.allocate(5_000)).toBe(area)
  expect(memory.allocate(5_000)).not.toBe(area)
})
