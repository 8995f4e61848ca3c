import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { stoppingStorage } from '../../../../test/doubles/stopping-storage.ts'
import { operationContext, type TestContext } from '../../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../../test/support/temp-directory.ts'
import { MIB, segmentName, walBytes } from '../../../../test/support/wal-bytes.ts'
import type { CodecDescription } from '../../../codec/codec.ts'
import { collect } from '../../../kit/bytes.ts'
import { WalgError } from '../../../kit/errors.ts'
import { openPayload } from '../../../repository/sealed.ts'
import type { Storage } from '../../../storage/storage.ts'
import { createWalPusher } from '../wal-pusher.ts'

const name = segmentName(1)
const LZ4: CodecDescription = { compression: 'lz4' }
const ZSTD: CodecDescription = { compression: 'zstd' }
const PLAIN: CodecDescription = { compression: 'none' }

let place: TempDirectory
let root: string

beforeEach(() => {
  place = tempDirectory('other-forms')
  root = place.at('archive')
  mkdirSync(root)
})
afterEach(() => place.remove())

function context(codec: CodecDescription, wrap?: (storage: Storage) => Storage): Promise<TestContext> {
  return operationContext(root, wrap === undefined ? { codec } : { codec, wrap })
}

async function push(given: TestContext, salt: number, preventOverwrite = false, file = name): Promise<void> {
  writeFileSync(place.at(file), walBytes(name, { salt }))
  await createWalPusher(given, { preventOverwrite, records: undefined }).push(place.at(file))
}

async function fetched(): Promise<Uint8Array> {
  const { storage, codec } = await context(LZ4)
  return collect(await openPayload(storage, codec, `wal_005/${name}`), 64 * MIB)
}

const objects = (): string[] => readdirSync(`${root}/wal_005`).sort()

describe('a push without the guard', () => {
  for (const [before, after, kept] of [
    [LZ4, ZSTD, `${name}.zst`],
    [PLAIN, ZSTD, `${name}.zst`],
    [ZSTD, PLAIN, name],
  ] as const) {
    test(`replaces the forms of other compressions (${before.compression} by ${after.compression})`, async () => {
      await push(await context(before), 1)
      const given = await context(after)
      await push(given, 2)
      expect(objects()).toEqual([kept])
      expect(await fetched()).toEqual(walBytes(name, { salt: 2 }))
      const [warning = ''] = given.messages.filter(message => message.startsWith('WARNING'))
      expect(warning).toContain(`"wal_005/${kept}" has replaced "wal_005/${name}`)
    })
  }

  test('removes nothing before its own object is durable', async () => {
    await push(await context(LZ4), 1)
    const failing = await context(ZSTD, storage => ({
      ...storage,
      openSink: () => Promise.reject(new WalgError('STORAGE_UNAVAILABLE', 'down')),
    }))
    await expect(push(failing, 2)).rejects.toThrow('down')
    expect(await fetched()).toEqual(walBytes(name, { salt: 1 }))
  })

  test('fails where the older form cannot be removed, for a fetch would deliver it', async () => {
    await push(await context(LZ4), 1)
    const refusing = await context(ZSTD, storage => ({
      ...storage,
      delete: () => Promise.reject(new WalgError('ACCESS_DENIED', 'no permission to delete')),
    }))
    await expect(push(refusing, 2)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
    await expect(push(refusing, 2)).rejects.toThrow('no permission to delete')
    expect(objects()).toEqual([`${name}.lz4`, `${name}.zst`])
  })

  test('a push that is killed before the older form is gone is not acknowledged, and the next one finishes it', async () => {
    await push(await context(LZ4), 1)
    const killed = await context(ZSTD, storage => stoppingStorage(storage, { left: 1 }))
    await expect(push(killed, 2)).rejects.toThrow('stopped')
    expect(objects()).toEqual([`${name}.lz4`, `${name}.zst`])
    await push(await context(ZSTD), 2)
    expect(objects()).toEqual([`${name}.zst`])
    expect(await fetched()).toEqual(walBytes(name, { salt: 2 }))
  })

  test('leaves the form that another push puts meanwhile', async () => {
    const other = await context(LZ4)
    const slow = await context(ZSTD, storage => ({
      ...storage,
      async openSink(key, options) {
        await push(other, 3)
        return await storage.openSink(key, options)
      },
    }))
    await push(slow, 2)
    expect(objects()).toEqual([`${name}.lz4`, `${name}.zst`])
  })

  test('fails when another push has removed its object', async () => {
    await push(await context(LZ4), 1)
    const raced = await context(ZSTD, storage => ({
      ...storage,
      delete: keys => storage.delete([...keys, `wal_005/${name}.zst`]),
    }))
    await expect(push(raced, 2)).rejects.toThrow('was removed by another push')
  })

  test('never touches what the guard holds for: histories, and everything with the guard on', async () => {
    const history = '00000002.history'
    await push(await context(LZ4), 1, true, history)
    await expect(push(await context(ZSTD), 2, false, history)).rejects.toMatchObject({
      code: 'WAL_OVERWRITE',
    })
    await push(await context(LZ4), 1)
    await expect(push(await context(ZSTD), 2, true)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
    expect(objects()).toEqual([`${name}.lz4`, `${history}.lz4`].sort())
  })
})
