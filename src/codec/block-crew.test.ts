import { expect, test } from 'bun:test'
import { BlockCrew, createBlockCrew } from './block-crew.ts'

const BLOCK = new Uint8Array(100)
const IDLE = { compress: () => 0, close() {} }

test('nobody is free at the beginning: a block stays with its owner', () => {
  const crew = new BlockCrew(createBlockCrew(2), () => {})
  expect(crew.lend(BLOCK)).toBeUndefined()
  expect(crew.lentCount).toBe(0)
})

test('the last thread has nobody to work for', () => {
  const data = createBlockCrew(1)
  expect(data.slots).toEqual([])
  new BlockCrew(data, () => {}).serve(IDLE)
})

test('a member that waits gives signs of life, and is stopped by one that throws', () => {
  const data = createBlockCrew(2)
  let signs = 0
  const member = new BlockCrew(data, () => {
    signs += 1
    if (signs === 2) throw new Error('stop')
  })
  expect(() => member.serve(IDLE)).toThrow('stop')
})

test('a member takes what is lent, in place, and ends with the last lender', () => {
  const data = createBlockCrew(2)
  const owner = new BlockCrew(data, () => {})
  let lent: ReturnType<BlockCrew['lend']>
  const member = new BlockCrew(data, () => {
    if (lent === undefined) {
      lent = owner.lend(BLOCK.fill(7))
      expect(owner.lend(BLOCK)).toBeUndefined()
      return
    }
    const into = new Uint8Array(100)
    expect(lent.collect(into)).toEqual({ sizeBytes: 3, isCompressed: true })
    expect([...into.subarray(0, 4)]).toEqual([8, 8, 8, 0])
    owner.serve(IDLE)
  })
  member.serve({
    compress(block, count) {
      expect([count, block[0], block[99], block[100]]).toEqual([100, 7, 7, 0])
      block.fill(8, 0, 3)
      return 3
    },
    close() {},
  })
  expect(owner.lentCount).toBe(1)
})

test('a block that does not become smaller comes back as it was', () => {
  const data = createBlockCrew(2)
  const owner = new BlockCrew(data, () => {})
  let lent: ReturnType<BlockCrew['lend']>
  const member = new BlockCrew(data, () => {
    if (lent === undefined) {
      lent = owner.lend(BLOCK.fill(9))
      return
    }
    const into = new Uint8Array(100)
    expect(lent.collect(into)).toEqual({ sizeBytes: 100, isCompressed: false })
    expect(into).toEqual(BLOCK)
    owner.serve(IDLE)
  })
  member.serve(IDLE)
})
