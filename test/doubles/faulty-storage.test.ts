import { expect, test } from 'bun:test'
import { openMemoryDriver } from '../../src/storage/drivers/memory.ts'
import {
  allKeys,
  expectCode,
  failureOf,
  getText,
  lentStream,
  patternBytes,
  putText,
} from '../contract/storage-support.ts'
import { type FaultyStorage, faultyStorage, type StorageFault } from './faulty-storage.ts'

function faulty(...faults: StorageFault[]): FaultyStorage {
  return faultyStorage(openMemoryDriver('memory', crypto.randomUUID()), ...faults)
}

test('a fault strikes the operation and key it was queued for, once', async () => {
  const storage = faulty({ operation: 'put', key: 'wal_005/' })
  await putText(storage, 'other', 'x')
  await expectCode(putText(storage, 'wal_005/a', 'x'), 'STORAGE_UNAVAILABLE')
  await putText(storage, 'wal_005/a', 'again')
  expect(await getText(storage, 'wal_005/a')).toBe('again')
  storage.verifyAllFaultsStruck()
  expect(storage.calls.slice(0, 2)).toEqual(['put other', 'put wal_005/a'])
})

test('a fault that did not strike fails the test', async () => {
  const storage = faulty({ operation: 'copy' }, { operation: 'stat', times: Number.POSITIVE_INFINITY })
  expect(() => storage.verifyAllFaultsStruck()).toThrow('copy')
})

test('a put that breaks midway leaves nothing', async () => {
  const storage = faulty({ operation: 'put', afterBytes: 1500 })
  await expectCode(storage.put('object', lentStream(patternBytes(5000), 1000)), 'STORAGE_UNAVAILABLE')
  expect(await allKeys(storage)).toEqual([])
})

test('a get and a source break after the bytes they were allowed', async () => {
  const storage = faulty({ operation: 'get', afterBytes: 3 }, { operation: 'openSource', afterBytes: 3 })
  await putText(storage, 'object', '0123456789')
  await expectCode(getText(storage, 'object'), 'STORAGE_UNAVAILABLE')
  const source = await storage.openSource('object')
  const into = new Uint8Array(10)
  expect(await source.read(into)).toBe(3)
  await expectCode(async () => source.read(into), 'STORAGE_UNAVAILABLE')
  storage.verifyAllFaultsStruck()
})

test('an answer can be lost after the object was stored', async () => {
  const storage = faulty(
    { operation: 'put', isAnswerLost: true },
    { operation: 'openSink', isAnswerLost: true },
    { operation: 'delete', isAnswerLost: true },
  )
  await expectCode(putText(storage, 'one', '1'), 'STORAGE_UNAVAILABLE')
  const sink = await storage.openSink('two')
  await sink.write(patternBytes(3))
  await expectCode(async () => sink.end(), 'STORAGE_UNAVAILABLE')
  expect(await allKeys(storage)).toEqual(['one', 'two'])
  await expectCode(storage.delete(['one']), 'STORAGE_UNAVAILABLE')
  expect(await allKeys(storage)).toEqual(['two'])
})

test('a fault has the error that was asked for, after as many good answers, as often as asked', async () => {
  const error = new Error('quite special')
  const storage = faulty({ operation: 'stat', after: 1, times: 2, error })
  await putText(storage, 'object', 'x')
  await storage.stat('object')
  expect(await failureOf(storage.stat('object'))).toBe(error)
  expect(await failureOf(storage.stat('object'))).toBe(error)
  await storage.stat('object')
})
