import { expect, test } from 'bun:test'
import {
  allKeys,
  expectCode,
  getText,
  listAll,
  patternBytes,
  putText,
} from '../../../test/contract/storage-support.ts'
import { collect, streamOf } from '../../kit/bytes.ts'
import type { RateLimiter } from '../../kit/limits.ts'
import { openMemoryDriver } from '../drivers/memory.ts'
import type { Storage } from '../storage.ts'
import { createMeter, withMeter } from './meter.ts'
import { withPrefix } from './prefix.ts'
import { withThrottle } from './throttle.ts'
import { withWriteGuard } from './write-guard.ts'

function memory(): Storage {
  return openMemoryDriver('memory', crypto.randomUUID())
}

test('a guarded storage reads, and refuses every change with WRITE_REFUSED', async () => {
  const storage = memory()
  await putText(storage, 'a/object', 'kept')
  const guarded = withWriteGuard(storage)
  expect(await getText(guarded, 'a/object')).toBe('kept')
  expect((await guarded.stat('a/object')).sizeBytes).toBe(4)
  expect(await listAll(guarded, '')).toHaveLength(1)
  await guarded.checkRoot()
  const source = await guarded.openSource('a/object')
  expect(await source.read(new Uint8Array(10))).toBe(4)
  await expectCode(putText(guarded, 'new', 'x'), 'WRITE_REFUSED')
  await expectCode(guarded.copy('a/object', 'new'), 'WRITE_REFUSED')
  await expectCode(guarded.delete(['a/object']), 'WRITE_REFUSED')
  await expectCode(async () => guarded.openSink('new'), 'WRITE_REFUSED')
  expect(await allKeys(storage)).toEqual(['a/object'])
})

test('a view sees and changes what is below its prefix and nothing else', async () => {
  const storage = memory()
  const view = withPrefix(storage, 'wal_005')
  await putText(view, 'one', '1')
  await putText(storage, 'wal_005/two', '2')
  await putText(storage, 'wal_0055', 'outside')
  expect(await allKeys(view)).toEqual(['one', 'two'])
  await view.copy('one', 'three')
  await view.delete(['one', 'wal_0055'])
  expect(await allKeys(storage)).toEqual(['wal_005/three', 'wal_005/two', 'wal_0055'])
  await expectCode(view.stat('../wal_0055'), 'KEY_REFUSED')
})

test('an error through a view names the whole key', async () => {
  const error = await expectCode(withPrefix(memory(), 'wal_005').stat('x'), 'OBJECT_NOT_FOUND')
  expect(error.facts['key']).toBe('wal_005/x')
})

test('views can be stacked, and a view of nothing is the storage', async () => {
  const storage = memory()
  await putText(withPrefix(withPrefix(storage, 'a'), 'b/c'), 'd', 'x')
  expect(await allKeys(storage)).toEqual(['a/b/c/d'])
  expect(withPrefix(storage, '')).toBe(storage)
  expect(() => withPrefix(storage, '../a')).toThrow('refused')
})

test('a meter counts operations and the bytes of every way in and out', async () => {
  const meter = createMeter()
  const storage = withMeter(memory(), meter)
  await storage.put('one', streamOf(patternBytes(100), patternBytes(50)))
  const sink = await storage.openSink('two')
  await sink.write(patternBytes(30))
  await sink.end()
  await collect(await storage.get('one'), 1000)
  const source = await storage.openSource('two')
  await source.read(new Uint8Array(20))
  await storage.stat('one')
  await listAll(storage, '')
  await storage.copy('one', 'three')
  await storage.delete(['one', 'two'])
  expect(meter).toEqual({
    putBytes: 180,
    getBytes: 170,
    puts: 2,
    gets: 2,
    stats: 1,
    lists: 1,
    copies: 1,
    deletes: 2,
  })
})

test('every byte in and out takes its turn at the rate before it moves', async () => {
  const taken: number[] = []
  const limiter: RateLimiter = {
    async take(bytes) {
      taken.push(bytes)
    },
  }
  const storage = withThrottle(memory(), limiter, false)
  expect(storage.features.synchronous).toBe(false)
  await storage.put('one', streamOf(patternBytes(100), patternBytes(50)))
  const sink = await storage.openSink('two')
  await sink.write(patternBytes(30))
  await sink.end()
  await collect(await storage.get('one'), 1000)
  const source = await storage.openSource('two')
  await source.read(new Uint8Array(20))
  expect(taken).toEqual([100, 50, 30, 150, 20])
})
