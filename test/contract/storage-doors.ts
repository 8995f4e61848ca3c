import { expect, test } from 'bun:test'
import type { ByteSource } from '../../src/kit/bytes.ts'
import type { Storage } from '../../src/storage/storage.ts'
import {
  allKeys,
  expectCode,
  getBytes,
  getText,
  listAll,
  type OpenStorage,
  patternBytes,
  putText,
  withStorage,
} from './storage-support.ts'

const CLIMBING_KEYS = [
  '',
  '.',
  '..',
  '/',
  '/etc/passwd',
  '../outside',
  'a/../../outside',
  'a/..',
  'a/./b',
  'a//b',
  'a/',
  'a\0b',
  'a/\ud800',
  'object.tmp.20261122T101112Z-0123456789abcdef',
]

const ALL_ODD_KEYS = [
  'with space/and  two',
  'plus+and%25percent%',
  'čeština/日本語/🐘',
  'Case/case',
  'case/Case',
  '-dash/--help',
  '...dots/..more',
  'a.tmp.20261122T101112Z-0123456789abcde',
  'tmp',
  'back\\slash/"quotes"/$(x)',
  'new\nline',
  `long/${'n'.repeat(200)}`,
]

/** The sentences about keys. */
export function keysContract(open: OpenStorage, refused: readonly string[] = []): void {
  const ODD_KEYS = ALL_ODD_KEYS.filter(key => !refused.includes(key))

  test(
    'keys cannot climb out, whatever is done with them',
    withStorage(open, async storage => {
      await putText(storage, 'a/object', 'kept')
      for (const key of [...CLIMBING_KEYS, ...refused]) {
        await expectCode(storage.stat(key), 'KEY_REFUSED')
        await expectCode(storage.get(key), 'KEY_REFUSED')
        await expectCode(putText(storage, key, 'x'), 'KEY_REFUSED')
        await expectCode(storage.copy('a/object', key), 'KEY_REFUSED')
        await expectCode(storage.copy(key, 'a/copy'), 'KEY_REFUSED')
        await expectCode(storage.delete(['a/object', key]), 'KEY_REFUSED')
        await expectCode(() => storage.openSink(key), 'KEY_REFUSED')
        await expectCode(() => storage.openSource(key), 'KEY_REFUSED')
        if (key !== '') await expectCode(listAll(storage, key), 'KEY_REFUSED')
      }
      expect(await allKeys(storage)).toEqual(['a/object'])
    }),
  )

  test(
    'names with spaces, +, %, capitals, new lines and letters of any language survive',
    withStorage(open, async storage => {
      for (const key of ODD_KEYS) await putText(storage, key, `content of ${key}`)
      expect(await allKeys(storage)).toEqual(ODD_KEYS.toSorted())
      for (const key of ODD_KEYS) {
        expect(await getText(storage, key)).toBe(`content of ${key}`)
        expect((await storage.stat(key)).key).toBe(key)
      }
      await storage.delete(ODD_KEYS)
      expect(await listAll(storage, '')).toEqual([])
    }),
  )
}

/** The sentences about sinks and sources, the doors of the hot row. */
export function sinksContract(open: OpenStorage): void {
  test(
    'what is written to a sink is the object once it has ended, not before',
    withStorage(open, async storage => {
      const content = patternBytes(3_000_017)
      const sink = await storage.openSink('a/object')
      const buffer = new Uint8Array(500_000)
      for (let at = 0; at < content.length; at += buffer.length) {
        const part = content.subarray(at, at + buffer.length)
        buffer.set(part)
        await sink.write(buffer.subarray(0, part.length))
        buffer.fill(0xee)
      }
      await expectCode(storage.stat('a/object'), 'OBJECT_NOT_FOUND')
      expect(await listAll(storage, 'a', true)).toEqual([])
      await sink.end()
      expect(Buffer.from(await getBytes(storage, 'a/object')).equals(content)).toBe(true)
    }),
  )

  test(
    'a sink that ends without a byte makes an empty object',
    withStorage(open, async storage => {
      const sink = await storage.openSink('empty')
      await sink.end()
      expect((await storage.stat('empty')).sizeBytes).toBe(0)
    }),
  )

  test(
    'an aborted sink leaves nothing, as often as it is aborted',
    withStorage(open, async storage => {
      const sink = await storage.openSink('deep/er/object')
      await sink.write(patternBytes(100_000))
      await sink.abort()
      await sink.abort()
      expect(await listAll(storage, '')).toEqual([])
      await putText(storage, 'object', 'old')
      const second = await storage.openSink('object')
      await second.write(patternBytes(10))
      await second.abort()
      expect(await getText(storage, 'object')).toBe('old')
    }),
  )

  test(
    'an abort after the end does not take the object back, and nothing can be written any more',
    withStorage(open, async storage => {
      const sink = await storage.openSink('object')
      await sink.write(patternBytes(10))
      await sink.end()
      await sink.abort()
      await expectCode(async () => sink.write(patternBytes(1)), 'STORAGE_UNAVAILABLE')
      expect(await getBytes(storage, 'object')).toEqual(patternBytes(10))
    }),
  )

  test(
    'a sink refuses an existing object when asked to, at the latest at its end',
    withStorage(open, async storage => {
      if (!storage.features.conditionalPut) return
      const late = await storage.openSink('object', { ifAbsent: true })
      await late.write(patternBytes(20))
      await putText(storage, 'object', 'first')
      await expectCode(async () => late.end(), 'OBJECT_EXISTS')
      const early = async (): Promise<void> => {
        const sink = await storage.openSink('object', { ifAbsent: true })
        await sink.end()
      }
      await expectCode(early(), 'OBJECT_EXISTS')
      expect(await getText(storage, 'object')).toBe('first')
      expect(await allKeys(storage)).toEqual(['object'])
    }),
  )

  test(
    'a sink whose signal is aborted does not end',
    withStorage(open, async storage => {
      const stop = new AbortController()
      const sink = await storage.openSink('a/object', { signal: stop.signal })
      await sink.write(patternBytes(10))
      stop.abort()
      await expectCode(async () => sink.end(), 'CANCELLED')
      await sink.abort()
      expect(await listAll(storage, '')).toEqual([])
    }),
  )

  test(
    'a source fills the memory it is given, and says 0 at the end, again and again',
    withStorage(open, async storage => {
      const content = patternBytes(1_000_003)
      const sink = await storage.openSink('object')
      await sink.write(content)
      await sink.end()
      const source = await storage.openSource('object')
      expect(Buffer.from(await drain(source, 65_536)).equals(content)).toBe(true)
      expect(await source.read(new Uint8Array(10))).toBe(0)
      await source.close()
      await source.close()
    }),
  )

  test(
    'a source reads a range',
    withStorage(open, async storage => {
      await putText(storage, 'object', '0123456789')
      const source = await storage.openSource('object', { range: { first: 2, end: 6 } })
      expect(new TextDecoder().decode(await drain(source, 3))).toBe('2345')
      await source.close()
    }),
  )

  test(
    'a source can be closed before its end, while other sources go on',
    withStorage(open, async storage => {
      await putText(storage, 'object', 'x'.repeat(100_000))
      const [one, two] = [await storage.openSource('object'), await storage.openSource('object')]
      await one.read(new Uint8Array(10))
      await one.close()
      expect(await drain(two, 4096)).toHaveLength(100_000)
      await two.close()
    }),
  )

  test(
    'a synchronous storage never answers with a promise while bytes move',
    withStorage(open, async storage => {
      if (!storage.features.synchronous) return
      const sink = storage.openSink('object')
      if (sink instanceof Promise) throw new Error('openSink gave a promise')
      expect(sink.write(patternBytes(1000))).not.toBeInstanceOf(Promise)
      await sink.end()
      const source = storage.openSource('object')
      if (source instanceof Promise) throw new Error('openSource gave a promise')
      expect(source.read(new Uint8Array(2000))).toBe(1000)
      await source.close()
    }),
  )
}

/** The sentences about the end. */
export function closingContract(open: OpenStorage): void {
  test(
    'a closed storage refuses everything with STORAGE_UNAVAILABLE, and can be closed again',
    withStorage(open, async storage => {
      await putText(storage, 'object', 'x')
      await storage.close()
      await storage.close()
      const uses: ((storage: Storage) => unknown)[] = [
        used => used.checkRoot(),
        used => used.stat('object'),
        used => used.get('object'),
        used => putText(used, 'object', 'y'),
        used => used.copy('object', 'other'),
        used => used.delete(['object']),
        used => listAll(used, ''),
        used => used.openSink('object'),
        used => used.openSource('object'),
      ]
      for (const use of uses) await expectCode(async () => use(storage), 'STORAGE_UNAVAILABLE')
    }),
  )
}

async function drain(source: ByteSource, chunkBytes: number): Promise<Uint8Array> {
  const chunk = new Uint8Array(chunkBytes)
  const parts: Uint8Array[] = []
  for (;;) {
    const count = await source.read(chunk)
    if (count === 0) return Buffer.concat(parts)
    parts.push(chunk.slice(0, count))
  }
}
