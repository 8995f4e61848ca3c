import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { xxhash128 } from 'hash-wasm'
import { hashBytes, openHasher } from './hash.ts'
import { createLinearMemory, openModule } from './linear-memory.ts'

interface Xxh3 {
  reset(state: number): void
  update(state: number, address: number, count: number): void
  digest(state: number, target: number): void
}

const seed = Number(process.env['SEED'] ?? 20_261_122)
const patterned = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => (i * 197 + (i >> 7)) & 255)

test('every length from 0 to 1,200 bytes hashes as the reference implementation does', async () => {
  const bytes = patterned(1_200)
  for (let size = 0; size <= bytes.length; size++) {
    const message = bytes.subarray(0, size)
    expect(hashBytes(message)).toBe(await xxhash128(message))
  }
})

test(`the hash does not depend on how the message is cut (SEED=${seed})`, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 5_000 }),
      fc.array(fc.integer({ min: 0, max: 1_500 }), { maxLength: 12 }),
      async (bytes, cuts) => {
        const hasher = openHasher()
        let at = 0
        for (const cut of cuts) {
          hasher.update(bytes.subarray(at, at + cut))
          at = Math.min(bytes.length, at + cut)
          hasher.digest() // looking must not disturb
        }
        hasher.update(bytes.subarray(at))
        expect(hasher.digest()).toBe(await xxhash128(bytes))
      },
    ),
    { seed, numRuns: 300 },
  )
})

test('bytes in the linear memory and bytes outside of it give the same hash', async () => {
  const memory = createLinearMemory(1 << 20)
  const hasher = openHasher(memory)
  const message = patterned(300_000)
  const at = memory.allocate(message.length)
  memory.bytes.set(message, at)
  hasher.update(memory.bytes.subarray(at, at + message.length))
  const inPlace = hasher.digest()
  hasher.reset()
  hasher.update(message)
  expect(hasher.digest()).toBe(inPlace)
  expect(inPlace).toBe(await xxhash128(message))
})

test('the build without vectors gives the same hashes', async () => {
  const scalar = `${import.meta.dir}/xxh3-scalar.wasm`
  const memory = createLinearMemory(1 << 20)
  const xxh3 = openModule<Xxh3>(memory, scalar)
  const state = memory.allocate(704)
  const message = patterned(10_000)
  const at = memory.allocate(message.length)
  memory.bytes.set(message, at)
  for (const size of [0, 3, 8, 16, 128, 240, 241, 1024, 1025, 9_999]) {
    xxh3.reset(state)
    xxh3.update(state, at, size)
    xxh3.digest(state, state + 688)
    const digest = Buffer.from(memory.bytes.slice(state + 688, state + 704)).toString('hex')
    expect(digest).toBe(await xxhash128(message.subarray(0, size)))
  }
})

test('a view taken before the memory grew is hashed as any other', async () => {
  const memory = createLinearMemory(1 << 16)
  const hasher = openHasher(memory)
  const early = memory.bytes.subarray(0, 100)
  memory.allocate(1 << 20)
  hasher.update(early)
  expect(hasher.digest()).toBe(await xxhash128(early))
})
