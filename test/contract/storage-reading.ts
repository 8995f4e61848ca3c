import { expect, test } from 'bun:test'
import { collect } from '../../src/kit/bytes.ts'
import {
  allKeys,
  bytesOf,
  expectCode,
  getBytes,
  getText,
  lentStream,
  listAll,
  type OpenStorage,
  patternBytes,
  putText,
  withStorage,
} from './storage-support.ts'

/** The sentences about listing. */
export function listingContract(open: OpenStorage): void {
  test(
    'an empty storage and a prefix nobody wrote to list nothing',
    withStorage(open, async storage => {
      expect(await listAll(storage, '')).toEqual([])
      expect(await listAll(storage, 'wal_005/nobody')).toEqual([])
      expect(await listAll(storage, 'wal_005', true)).toEqual([])
    }),
  )

  test(
    'looking for what is not there creates nothing',
    withStorage(open, async storage => {
      await listAll(storage, 'looked/at')
      await expectCode(storage.stat('looked/at/object'), 'OBJECT_NOT_FOUND')
      await expectCode(storage.get('looked/at/object'), 'OBJECT_NOT_FOUND')
      await storage.delete(['looked/at/object'])
      expect(await listAll(storage, '')).toEqual([])
    }),
  )

  test(
    'one level of a listing has the objects there and the prefixes below',
    withStorage(open, async storage => {
      for (const key of ['top', 'a/1', 'a/2', 'a/b/3', 'a/b/c/4', 'd/5']) await putText(storage, key, key)
      const seen = (await listAll(storage, '')).map(entry => `${entry.kind} ${entry.key}`)
      expect(seen).toEqual(['prefix a', 'prefix d', 'object top'])
      const below = (await listAll(storage, 'a')).map(entry => `${entry.kind} ${entry.key}`)
      expect(below).toEqual(['object a/1', 'object a/2', 'prefix a/b'])
    }),
  )

  test(
    'a recursive listing has every object below the prefix and no prefixes',
    withStorage(open, async storage => {
      for (const key of ['top', 'a/1', 'a/b/2', 'a/b/c/3', 'ab/4']) await putText(storage, key, key)
      expect(await allKeys(storage)).toEqual(['a/1', 'a/b/2', 'a/b/c/3', 'ab/4', 'top'])
      const below = await listAll(storage, 'a', true)
      expect(below.map(entry => entry.key)).toEqual(['a/1', 'a/b/2', 'a/b/c/3'])
      expect(below.every(entry => entry.kind === 'object')).toBe(true)
    }),
  )

  test(
    'a prefix is a folder, not the beginning of a name, and an object is no prefix',
    withStorage(open, async storage => {
      for (const key of ['base/1', 'base_2/2', 'bas']) await putText(storage, key, key)
      expect((await listAll(storage, 'base', true)).map(entry => entry.key)).toEqual(['base/1'])
      expect(await listAll(storage, 'bas')).toEqual([])
      expect(await listAll(storage, 'base/1', true)).toEqual([])
    }),
  )

  test(
    'a listing is complete when there are more entries than fit a page',
    withStorage(open, async storage => {
      const keys = Array.from({ length: 1_203 }, (_, n) => `many/${String(n).padStart(5, '0')}`)
      for (let at = 0; at < keys.length; at += 100) {
        await Promise.all(keys.slice(at, at + 100).map(key => putText(storage, key, '')))
      }
      expect((await listAll(storage, 'many')).map(entry => entry.key)).toEqual(keys)
    }),
  )

  test(
    'a listing tells the same size and time as stat',
    withStorage(open, async storage => {
      await putText(storage, 'a/one', 'x'.repeat(1234))
      const [entry] = await listAll(storage, 'a')
      const info = await storage.stat('a/one')
      expect(entry).toEqual({ kind: 'object', ...info })
      expect(info.key).toBe('a/one')
      expect(info.sizeBytes).toBe(1234)
      expect(typeof info.modifiedNs).toBe('bigint')
    }),
  )

  test(
    'a listing that is left early can be followed by another',
    withStorage(open, async storage => {
      for (const key of ['1', '2', '3']) await putText(storage, key, key)
      for await (const _entry of storage.list('')) break
      expect(await listAll(storage, '')).toHaveLength(3)
    }),
  )

  test(
    'an object put later does not seem older',
    withStorage(open, async storage => {
      await putText(storage, 'first', '1')
      await putText(storage, 'second', '2')
      const [first, second] = [await storage.stat('first'), await storage.stat('second')]
      expect(second.modifiedNs >= first.modifiedNs).toBe(true)
    }),
  )
}

/** The sentences about stat, get and ranges. */
export function readingContract(open: OpenStorage): void {
  test(
    'a missing object is OBJECT_NOT_FOUND before the first byte, with key and storage in the facts',
    withStorage(open, async storage => {
      for (const work of [() => storage.stat('no/such'), () => storage.get('no/such')]) {
        const error = await expectCode(work, 'OBJECT_NOT_FOUND')
        expect(String(error.facts['key'])).toEndWith('no/such')
        expect(error.facts['storage']).toBe(storage.name)
        expect(error.message).toContain('no/such')
      }
      await expectCode(() => storage.openSource('no/such'), 'OBJECT_NOT_FOUND')
    }),
  )

  test(
    'a prefix is not an object, nor is anything below an object',
    withStorage(open, async storage => {
      await putText(storage, 'a/b', 'content')
      for (const key of ['a', 'a/b/c']) {
        await expectCode(storage.stat(key), 'OBJECT_NOT_FOUND')
        await expectCode(storage.get(key), 'OBJECT_NOT_FOUND')
        await expectCode(() => storage.openSource(key), 'OBJECT_NOT_FOUND')
      }
    }),
  )

  test(
    'an empty object is an object',
    withStorage(open, async storage => {
      await storage.put('empty', lentStream(new Uint8Array(0), 1))
      expect((await storage.stat('empty')).sizeBytes).toBe(0)
      expect(await getBytes(storage, 'empty')).toHaveLength(0)
    }),
  )

  test(
    'a large object of no round size comes back as it was, in chunks of at most 4 MiB',
    withStorage(open, async storage => {
      const content = patternBytes(9 * 1024 * 1024 + 13)
      await storage.put('large', lentStream(content, 777_777))
      let chunkBytesMax = 0
      const parts: Uint8Array[] = []
      for await (const chunk of await storage.get('large')) {
        chunkBytesMax = Math.max(chunkBytesMax, chunk.length)
        parts.push(chunk.slice())
      }
      expect(chunkBytesMax).toBeLessThanOrEqual(4 * 1024 * 1024)
      expect(Buffer.concat(parts).equals(content)).toBe(true)
    }),
  )

  test(
    'a range has its first byte, lacks its end, and is cut at the size of the object',
    withStorage(open, async storage => {
      await putText(storage, 'ranged', '0123456789')
      const read = async (first: number, end?: number): Promise<string> => {
        const range = end === undefined ? { first } : { first, end }
        return new TextDecoder().decode(await collect(await storage.get('ranged', { range }), 100))
      }
      expect(await read(0, 1)).toBe('0')
      expect(await read(9, 10)).toBe('9')
      expect(await read(3, 7)).toBe('3456')
      expect(await read(4)).toBe('456789')
      expect(await read(8, 1000)).toBe('89')
      expect(await read(5, 5)).toBe('')
      expect(await read(10)).toBe('')
    }),
  )

  test(
    'a range that begins beyond the object, or makes no sense, is RANGE_INVALID',
    withStorage(open, async storage => {
      await putText(storage, 'ranged', '0123456789')
      for (const range of [{ first: 11 }, { first: 5, end: 4 }, { first: -1 }, { first: 1.5 }]) {
        await expectCode(storage.get('ranged', { range }), 'RANGE_INVALID')
        await expectCode(() => storage.openSource('ranged', { range }), 'RANGE_INVALID')
      }
    }),
  )

  test(
    'a stream can be left early or never be read',
    withStorage(open, async storage => {
      const content = patternBytes(3 * 1024 * 1024)
      await storage.put('object', lentStream(content, 1 << 20))
      await storage.get('object')
      for await (const _chunk of await storage.get('object')) break
      expect(Buffer.from(await getBytes(storage, 'object')).equals(content)).toBe(true)
    }),
  )

  test(
    'who reads while the object is replaced sees one of the two, whole',
    withStorage(open, async storage => {
      const old = patternBytes(5_000_001, 1)
      const young = patternBytes(4_000_001, 2)
      await storage.put('object', lentStream(old, 1 << 20))
      const parts: Uint8Array[] = []
      for await (const chunk of await storage.get('object')) {
        if (parts.length === 0) await storage.put('object', lentStream(young, 1 << 20))
        parts.push(chunk.slice())
      }
      const seen = Buffer.concat(parts)
      expect(seen.equals(old) || seen.equals(young)).toBe(true)
      expect(Buffer.from(await getBytes(storage, 'object')).equals(young)).toBe(true)
    }),
  )

  test(
    'an aborted signal ends reads with CANCELLED, before and during',
    withStorage(open, async storage => {
      await storage.put('object', lentStream(patternBytes(3 * 1024 * 1024), 1 << 20))
      const signal = AbortSignal.abort()
      await expectCode(storage.stat('object', { signal }), 'CANCELLED')
      await expectCode(async () => collect(await storage.get('object', { signal }), 1 << 24), 'CANCELLED')
      const stop = new AbortController()
      const read = async (): Promise<void> => {
        for await (const _chunk of await storage.get('object', { signal: stop.signal })) stop.abort()
      }
      await expectCode(read(), 'CANCELLED')
      expect(await getText(storage, 'object')).not.toBe('')
    }),
  )

  test(
    'the root answers',
    withStorage(open, async storage => {
      await storage.checkRoot()
      expect(bytesOf(storage.name).length).toBeGreaterThan(0)
    }),
  )
}
