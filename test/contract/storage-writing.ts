import { expect, test } from 'bun:test'
import { WalgError } from '../../src/kit/errors.ts'
import { untilTrue } from '../support/until-true.ts'
import {
  allKeys,
  expectCode,
  failureOf,
  getBytes,
  getText,
  lentStream,
  listAll,
  type OpenStorage,
  patternBytes,
  putText,
  withStorage,
} from './storage-support.ts'

/** More than a part of any storage that uploads in parts. */
const UPLOAD_BYTES = 24 << 20

/** The sentences about put. */
export function puttingContract(open: OpenStorage): void {
  test(
    'put replaces an object as a whole',
    withStorage(open, async storage => {
      await putText(storage, 'a/object', 'the old and much longer content')
      await putText(storage, 'a/object', 'new')
      expect(await getText(storage, 'a/object')).toBe('new')
      expect((await storage.stat('a/object')).sizeBytes).toBe(3)
    }),
  )

  test(
    'an object appears only when it is complete',
    withStorage(open, async storage => {
      const seen: string[][] = []
      async function* body(): AsyncGenerator<Uint8Array> {
        for (let n = 0; n < 3; n++) {
          yield patternBytes(100_000, n + 1)
          seen.push((await listAll(storage, 'a', true)).map(entry => entry.key))
          await expectCode(storage.stat('a/object'), 'OBJECT_NOT_FOUND')
        }
      }
      await storage.put('a/object', body())
      expect(seen).toEqual([[], [], []])
      expect((await storage.stat('a/object')).sizeBytes).toBe(300_000)
    }),
  )

  test(
    'an error of the body reaches the caller intact, and leaves nothing',
    withStorage(open, async storage => {
      for (const cause of [
        new Error('the disk of the server is gone'),
        new WalgError('WAL_INVALID', 'odd'),
      ]) {
        async function* body(): AsyncGenerator<Uint8Array> {
          yield patternBytes(300_000)
          throw cause
        }
        expect(await failureOf(storage.put('deep/er/object', body()))).toBe(cause)
        expect(await listAll(storage, '')).toEqual([])
      }
    }),
  )

  test(
    'a failed put leaves the old object as it was',
    withStorage(open, async storage => {
      await putText(storage, 'a/object', 'old')
      async function* body(): AsyncGenerator<Uint8Array> {
        yield patternBytes(10)
        throw new Error('broken')
      }
      await failureOf(storage.put('a/object', body()))
      expect(await getText(storage, 'a/object')).toBe('old')
      expect(await allKeys(storage)).toEqual(['a/object'])
    }),
  )

  test(
    'a put aborted before it began leaves nothing and does not read its body',
    withStorage(open, async storage => {
      let isRead = false
      async function* body(): AsyncGenerator<Uint8Array> {
        isRead = true
        yield patternBytes(10)
      }
      await expectCode(storage.put('a/object', body(), { signal: AbortSignal.abort() }), 'CANCELLED')
      expect(isRead).toBe(false)
      expect(await listAll(storage, '')).toEqual([])
    }),
  )

  test(
    'a put aborted on its way leaves nothing and ends its body',
    withStorage(open, async storage => {
      const stop = new AbortController()
      let isEnded = false
      async function* body(): AsyncGenerator<Uint8Array> {
        try {
          for (let n = 0; n < 1000; n++) {
            if (n === 3) stop.abort()
            yield patternBytes(1000)
          }
        } finally {
          isEnded = true
        }
      }
      await expectCode(storage.put('a/object', body(), { signal: stop.signal }), 'CANCELLED')
      expect(isEnded).toBe(true)
      expect(await listAll(storage, '')).toEqual([])
    }),
  )

  test(
    'a put is not undone by an abort that comes after it',
    withStorage(open, async storage => {
      const stop = new AbortController()
      await storage.put('object', lentStream(patternBytes(10), 10), { signal: stop.signal })
      stop.abort()
      expect(await getBytes(storage, 'object')).toHaveLength(10)
    }),
  )

  test(
    'puts of one key at the same time leave one of them, whole',
    withStorage(open, async storage => {
      const contents = [1, 2, 3, 4].map(seed => Buffer.from(patternBytes(200_000 + seed, seed)))
      await Promise.all(contents.map(content => storage.put('a/object', lentStream(content, 50_000))))
      const seen = Buffer.from(await getBytes(storage, 'a/object'))
      expect(contents.some(content => content.equals(seen))).toBe(true)
      expect(await allKeys(storage)).toEqual(['a/object'])
    }),
  )

  test(
    'puts and deletes in one prefix at the same time do not disturb each other',
    withStorage(open, async storage => {
      const work = async (name: string): Promise<void> => {
        for (let round = 0; round < 20; round++) {
          await putText(storage, `shared/prefix/${name}`, `${name} ${round}`)
          expect(await getText(storage, `shared/prefix/${name}`)).toBe(`${name} ${round}`)
          await storage.delete([`shared/prefix/${name}`])
        }
      }
      await Promise.all(['one', 'two', 'three'].map(work))
      expect(await allKeys(storage)).toEqual([])
    }),
  )

  test(
    'a name is an object or a prefix, not both, unless keys are flat',
    withStorage(open, async storage => {
      if (storage.features.flatKeys === true) return
      await putText(storage, 'a/object', 'content')
      await expectCode(putText(storage, 'a', 'x'), 'KEY_REFUSED')
      await expectCode(putText(storage, 'a/object/below', 'x'), 'KEY_REFUSED')
      expect(await allKeys(storage)).toEqual(['a/object'])
      expect(await getText(storage, 'a/object')).toBe('content')
    }),
  )

  test(
    'a conditional put creates, and refuses what is there with OBJECT_EXISTS',
    withStorage(open, async storage => {
      if (!storage.features.conditionalPut) return
      const put = (content: number): Promise<void> =>
        storage.put('a/object', lentStream(patternBytes(content), 100), { ifAbsent: true })
      await put(10)
      await expectCode(put(20), 'OBJECT_EXISTS')
      expect((await storage.stat('a/object')).sizeBytes).toBe(10)
      expect(await allKeys(storage)).toEqual(['a/object'])
    }),
  )

  test(
    'of conditional puts at the same time exactly one wins',
    withStorage(open, async storage => {
      if (!storage.features.conditionalPut) return
      const sizes = [1001, 1002, 1003, 1004, 1005]
      const puts = sizes.map(size =>
        storage.put('a/object', lentStream(patternBytes(size), 100), { ifAbsent: true }),
      )
      const results = await Promise.allSettled(puts)
      const winners = sizes.filter((_, n) => results[n]?.status === 'fulfilled')
      expect(winners).toHaveLength(1)
      for (const result of results) {
        if (result.status === 'rejected') await expectCode(Promise.reject(result.reason), 'OBJECT_EXISTS')
      }
      expect(await getBytes(storage, 'a/object')).toEqual(patternBytes(winners[0] ?? 0))
    }),
  )
}

/** The sentences about delete and copy. */
export function removingContract(open: OpenStorage): void {
  test(
    'deleting what is not there is not an error',
    withStorage(open, async storage => {
      await putText(storage, 'kept', 'x')
      await storage.delete([])
      await storage.delete(['no/such', 'neither', 'kept/below'])
      expect(await allKeys(storage)).toEqual(['kept'])
    }),
  )

  test(
    'delete removes the named objects and nothing else',
    withStorage(open, async storage => {
      for (const key of ['a', 'ab', 'b/1', 'b/2', 'b/c/3', 'b_2']) await putText(storage, key, key)
      await storage.delete(['a', 'b', 'b/2', 'b/c', 'c'])
      expect(await allKeys(storage)).toEqual(['ab', 'b/1', 'b/c/3', 'b_2'])
    }),
  )

  test(
    'a prefix without objects is no longer listed, and can be written to again',
    withStorage(open, async storage => {
      await putText(storage, 'x/y/z/1', '1')
      await putText(storage, 'x/2', '2')
      await storage.delete(['x/y/z/1'])
      expect((await listAll(storage, 'x')).map(entry => entry.key)).toEqual(['x/2'])
      await storage.delete(['x/2'])
      expect(await listAll(storage, '')).toEqual([])
      await storage.checkRoot()
      await putText(storage, 'x/y/z/1', 'again')
      expect(await getText(storage, 'x/y/z/1')).toBe('again')
    }),
  )

  test(
    'many objects are deleted at once',
    withStorage(open, async storage => {
      const keys = Array.from({ length: 120 }, (_, n) => `many/${n % 7}/${n}`)
      await Promise.all(keys.map(key => putText(storage, key, '')))
      await storage.delete(keys)
      expect(await listAll(storage, '')).toEqual([])
    }),
  )

  test(
    'copy makes a second object of the same content, over what was there',
    withStorage(open, async storage => {
      const content = patternBytes(2_500_003)
      await storage.put('a/source', lentStream(content, 100_000))
      await putText(storage, 'b/target', 'old')
      await storage.copy('a/source', 'b/target')
      await storage.copy('a/source', 'new/deep/target')
      await storage.delete(['a/source'])
      for (const key of ['b/target', 'new/deep/target']) {
        expect(Buffer.from(await getBytes(storage, key)).equals(content)).toBe(true)
      }
    }),
  )

  test(
    'a copy is independent of its source, and a copy onto itself changes nothing',
    withStorage(open, async storage => {
      await putText(storage, 'one', 'first')
      await storage.copy('one', 'one')
      await storage.copy('one', 'two')
      await putText(storage, 'one', 'changed')
      expect(await getText(storage, 'two')).toBe('first')
      expect(await allKeys(storage)).toEqual(['one', 'two'])
    }),
  )

  test(
    'copying a missing object is OBJECT_NOT_FOUND and leaves the target alone',
    withStorage(open, async storage => {
      await putText(storage, 'target', 'kept')
      await expectCode(storage.copy('no/such', 'target'), 'OBJECT_NOT_FOUND')
      await expectCode(storage.copy('no/such', 'x/y'), 'OBJECT_NOT_FOUND')
      await expectCode(storage.copy('no/such', 'no/such'), 'OBJECT_NOT_FOUND')
      expect(await getText(storage, 'target')).toBe('kept')
      expect(await listAll(storage, '')).toHaveLength(1)
    }),
  )

  test(
    'an aborted copy or delete does nothing',
    withStorage(open, async storage => {
      await putText(storage, 'one', '1')
      const signal = AbortSignal.abort()
      await expectCode(storage.copy('one', 'two', { signal }), 'CANCELLED')
      await expectCode(storage.delete(['one'], { signal }), 'CANCELLED')
      expect(await allKeys(storage)).toEqual(['one'])
    }),
  )

  test(
    'what was begun and never ended is told, and can be taken away without a trace',
    withStorage(open, async storage => {
      const { unfinishedUploads } = storage
      if (unfinishedUploads === undefined) return
      const told = async (prefix: string): Promise<string[]> => {
        const keys: string[] = []
        for await (const { key } of unfinishedUploads.list(prefix)) keys.push(key)
        return keys
      }
      await putText(storage, 'a/whole', 'x')
      const sink = await storage.openSink('a/b/begun')
      await sink.write(patternBytes(UPLOAD_BYTES))
      await untilTrue(async () => (await told('')).length > 0, 20_000, 'the upload is told')
      expect([await told(''), await told('a'), await told('a/b'), await told('b')]).toEqual([
        ['a/b/begun'],
        ['a/b/begun'],
        ['a/b/begun'],
        [],
      ])
      expect(await allKeys(storage)).toEqual(['a/whole'])
      for await (const upload of unfinishedUploads.list('')) {
        expect(Math.abs(Number(upload.beganNs / 1_000_000n) - Date.now())).toBeLessThan(60_000)
        await unfinishedUploads.abort(upload)
        await unfinishedUploads.abort(upload)
      }
      expect(await told('')).toEqual([])
      await failureOf(async () => sink.end())
      expect([await allKeys(storage), await told('')]).toEqual([['a/whole'], []])
    }),
  )
}
