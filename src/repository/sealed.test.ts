import { afterEach, beforeEach, expect, test } from 'bun:test'
import { openCodec } from '../codec/open-codec.ts'
import { streamOf } from '../kit/bytes.ts'
import { dropMemory, openMemoryDriver } from '../storage/drivers/memory.ts'
import type { Storage } from '../storage/storage.ts'
import { findPayload, openPayload, putSealed, readPayload } from './sealed.ts'

const NAME = 'wal_005/000000010000000000000001'
const bytes = new TextEncoder().encode('a payload '.repeat(100))

let storage: Storage

beforeEach(() => {
  storage = openMemoryDriver('default', 'sealed-test')
})
afterEach(() => dropMemory('sealed-test'))

test.each(['lz4', 'none'] as const)(
  'what is sealed with %s is found and opened by its name',
  async compression => {
    const codec = openCodec({ compression })
    const key = await putSealed(storage, codec, NAME, streamOf(bytes))
    expect(key).toBe(compression === 'none' ? NAME : `${NAME}.lz4`)
    expect(await readPayload(storage, codec, NAME, 10_000)).toEqual(bytes)
  },
)

test('of several forms the first in the order of the original counts, or the one that is hoped for', async () => {
  for (const suffix of ['', '.', '.zst', '.br', '.gz', '.lzo']) {
    await storage.put(NAME + suffix, streamOf(bytes)).catch(() => undefined)
  }
  expect((await findPayload(storage, NAME))?.key).toBe(`${NAME}.gz`)
  expect((await findPayload(storage, NAME, { firstExtension: 'zst' }))?.key).toBe(`${NAME}.zst`)
  expect((await findPayload(storage, NAME, { firstExtension: '' }))?.key).toBe(NAME)
  expect((await findPayload(storage, NAME, { firstExtension: 'lz4' }))?.key).toBe(`${NAME}.gz`)
})

test('the dangling dot of WAL-G 3.0.8 is a form without compression', async () => {
  await storage.put(`${NAME}.`, streamOf(bytes))
  expect(await findPayload(storage, NAME)).toMatchObject({ key: `${NAME}.`, extension: '' })
  expect(await readPayload(storage, openCodec({ compression: 'lz4' }), NAME, 10_000)).toEqual(bytes)
})

test('a payload that is nowhere is null to find and an error to open', async () => {
  expect(await findPayload(storage, NAME)).toBeNull()
  await expect(openPayload(storage, openCodec({ compression: 'lz4' }), NAME)).rejects.toMatchObject({
    code: 'OBJECT_NOT_FOUND',
    message: expect.stringContaining(NAME),
  })
})

test('damage is reported with the name of the object', async () => {
  await storage.put(`${NAME}.lz4`, streamOf(bytes))
  await expect(readPayload(storage, openCodec({ compression: 'lz4' }), NAME, 10_000)).rejects.toMatchObject({
    code: 'FORMAT_INVALID',
    message: expect.stringContaining(`${NAME}.lz4`),
  })
})

test('a payload larger than the reader can take is refused', async () => {
  const codec = openCodec({ compression: 'lz4' })
  await putSealed(storage, codec, NAME, streamOf(bytes))
  await expect(readPayload(storage, codec, NAME, 10)).rejects.toMatchObject({ code: 'FORMAT_INVALID' })
})
