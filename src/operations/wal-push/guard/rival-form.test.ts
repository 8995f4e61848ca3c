import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { forwarded } from '../../../../test/doubles/forwarded-storage.ts'
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

let place: TempDirectory
let root: string

beforeEach(() => {
  place = tempDirectory('rival-form')
  root = place.at('archive')
  mkdirSync(root)
})
afterEach(() => place.remove())

function context(codec: CodecDescription, wrap?: (storage: Storage) => Storage): Promise<TestContext> {
  return operationContext(root, wrap === undefined ? { codec } : { codec, wrap })
}

/** From a directory of its own, as of another server. */
async function push(given: TestContext, salt: number, file = name, preventOverwrite = true): Promise<string> {
  const directory = place.at(`server-${salt}-${given.codec.extension}`)
  mkdirSync(directory, { recursive: true })
  const path = `${directory}/${file}`
  writeFileSync(path, walBytes(name, { salt }))
  return (await createWalPusher(given, { preventOverwrite, records: undefined }).push(path)).kind
}

async function fetched(): Promise<Uint8Array> {
  const { storage, codec } = await context(LZ4)
  return collect(await openPayload(storage, codec, `wal_005/${name}`), 64 * MIB)
}

const objects = (): string[] => (existsSync(`${root}/wal_005`) ? readdirSync(`${root}/wal_005`).sort() : [])

/** A storage to which `happen` comes between the look of a push and its put. */
const beforePut =
  (happen: () => Promise<unknown>) =>
  (storage: Storage): Storage => ({
    ...forwarded(storage),
    async openSink(key, options) {
      await happen()
      return await storage.openSink(key, options)
    },
  })

/** Resolves for all when as many as `count` wait. */
function meetingOf(count: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = count
  return () => {
    left -= 1
    if (left === 0) resolve()
    return promise
  }
}

/** Storages whose puts only begin when as many as `count` have looked, and only end when as many have been made. */
function puttingTogether(count: number): (storage: Storage) => Storage {
  const allLooked = meetingOf(count)
  const allPut = meetingOf(count)
  return storage => ({
    ...forwarded(storage),
    features: { ...storage.features, synchronous: false },
    async openSink(key, options) {
      await allLooked()
      const sink = await storage.openSink(key, options)
      return {
        write: bytes => sink.write(bytes),
        abort: () => sink.abort(),
        async end() {
          await sink.end()
          await allPut()
        },
      }
    },
  })
}

const refuseDeletes = (storage: Storage): Storage => ({
  ...forwarded(storage),
  delete: () => Promise.reject(new WalgError('ACCESS_DENIED', 'no permission to delete')),
})

for (const [mine, theirs] of [
  [LZ4, ZSTD],
  [ZSTD, LZ4],
] as const) {
  const [own, other] = [mine, theirs].map(({ compression }) => (compression === 'lz4' ? 'lz4' : 'zst'))

  describe(`a push (${own}) between whose look and put another one (${other}) comes`, () => {
    test('takes its object back when the content is another, and what was acknowledged stays', async () => {
      const rival = await context(theirs)
      const given = await context(
        mine,
        beforePut(() => push(rival, 2)),
      )
      const pushed = expect(push(given, 1)).rejects
      await pushed.toMatchObject({ code: 'WAL_OVERWRITE' })
      expect(objects()).toEqual([`${name}.${other}`])
      expect(await fetched()).toEqual(walBytes(name, { salt: 2 }))
      await expect(push(await context(mine), 1)).rejects.toThrow('contents differ')
    })

    test('says which object has come, and that its own was removed', async () => {
      const rival = await context(theirs)
      const given = await context(
        mine,
        beforePut(() => push(rival, 2)),
      )
      await expect(push(given, 1)).rejects.toThrow(
        `another push of '${name}' has put "wal_005/${name}.${other}" meanwhile, with other content; "wal_005/${name}.${own}", which this push had stored, was removed again`,
      )
    })

    test('succeeds when the content is the same', async () => {
      const rival = await context(theirs)
      const given = await context(
        mine,
        beforePut(() => push(rival, 1)),
      )
      expect(await push(given, 1)).toBe('stored')
      expect(await push(await context(mine), 1)).toBe('already-archived')
      expect(await fetched()).toEqual(walBytes(name, { salt: 1 }))
    })

    test('says so when its object cannot be removed again', async () => {
      const rival = await context(theirs)
      const given = await context(mine, storage => beforePut(() => push(rival, 2))(refuseDeletes(storage)))
      await expect(push(given, 1)).rejects.toThrow(
        `"wal_005/${name}.${own}", which this push had stored, could not be removed: no permission to delete`,
      )
    })

    test('is held for histories also with the guard switched off', async () => {
      const history = '00000002.history'
      const rival = await context(theirs)
      const given = await context(
        mine,
        beforePut(() => push(rival, 2, history, false)),
      )
      await expect(push(given, 1, history, false)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
      expect(objects()).toEqual([`${history}.${other}`])
    })

    test('and that is killed before it looks again is not acknowledged by its next try', async () => {
      const rival = await context(theirs)
      let isKilled = false
      const given = await context(mine, storage => {
        const raced = beforePut(() => push(rival, 2).then(() => (isKilled = true)))(storage)
        const stat: Storage['stat'] = (key, options) =>
          isKilled
            ? Promise.reject(new WalgError('STORAGE_UNAVAILABLE', 'stopped'))
            : storage.stat(key, options)
        return { ...raced, stat }
      })
      await expect(push(given, 1)).rejects.toThrow('stopped')
      expect(objects()).toHaveLength(2)
      await expect(push(await context(mine), 1)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
    })
  })
}

describe('two pushes that both put before either looks again', () => {
  test('of different content: one is acknowledged at most, and nothing else stays', async () => {
    const wrap = puttingTogether(2)
    const outcomes = await Promise.allSettled([
      push(await context(LZ4, wrap), 1),
      push(await context(ZSTD, wrap), 2),
    ])
    const winners = outcomes.filter(({ status }) => status === 'fulfilled')
    expect(objects().length).toBe(winners.length)
    expect(winners.length).toBeLessThan(2)
  })

  test('of the same content: both are', async () => {
    const wrap = puttingTogether(2)
    const kinds = await Promise.all([push(await context(LZ4, wrap), 1), push(await context(ZSTD, wrap), 1)])
    expect(kinds).toEqual(['stored', 'stored'])
    expect(objects()).toEqual([`${name}.lz4`, `${name}.zst`])
  })
})
