import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { allKeys, expectCode, getText, putText } from '../../test/contract/storage-support.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import type { StorageDescription } from './description.ts'
import { openStorage, watchStorageStalls } from './open-storage.ts'

function description(root: string, given: Partial<StorageDescription> = {}): StorageDescription {
  return {
    name: 'default',
    driver: { kind: 'fs', root, isDurable: false },
    prefix: '',
    stallTimeoutMs: 60_000,
    ...given,
  }
}

test('a description opens the same storage again and again, prefix included', async () => {
  using directory = tempDirectory('open')
  const storage = await openStorage(description(directory.path, { prefix: '/team/one/' }))
  await putText(storage, 'a', 'x')
  const again = await openStorage(structuredClone(description(directory.path, { prefix: 'team/one' })))
  expect(await getText(again, 'a')).toBe('x')
  expect(readdirSync(directory.path)).toEqual(['team'])
})

test('opening a storage whose root is missing says so', async () => {
  using directory = tempDirectory('open')
  await expectCode(openStorage(description(directory.at('missing'))), 'STORAGE_ROOT_MISSING')
})

test('a prefix cannot climb out of the root', async () => {
  using directory = tempDirectory('open')
  await expectCode(openStorage(description(directory.path, { prefix: '../elsewhere' })), 'KEY_REFUSED')
})

test('memory is found again by its id', async () => {
  const driver = { kind: 'memory' as const, id: crypto.randomUUID() }
  await putText(await openStorage(description('', { driver })), 'a', 'x')
  expect(await allKeys(await openStorage(description('', { driver })))).toEqual(['a'])
})

test('in a worker the file-system driver is synchronous, and its hanging calls can be watched', async () => {
  using directory = tempDirectory('open')
  const watch = watchStorageStalls(description(directory.path), 1)
  const code = `
    import { openStorage } from ${JSON.stringify(new URL('./open-storage.ts', import.meta.url).href)}
    import { beWorkerThread } from ${JSON.stringify(new URL('../kit/thread.ts', import.meta.url).href)}
    beWorkerThread()
    self.onmessage = async ({ data }) => {
      const storage = await openStorage(data)
      const sink = storage.openSink('from/worker')
      const answers = [sink instanceof Promise, sink.write(new Uint8Array([104, 105])) instanceof Promise]
      await sink.end()
      postMessage({ isSynchronous: storage.features.synchronous, answers })
    }`
  const url = URL.createObjectURL(new Blob([code], { type: 'application/typescript' }))
  const worker = new Worker(url)
  const answer = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data)
    worker.onerror = reject
    worker.postMessage(watch.describe(0))
    watch.stalled.catch(reject)
  })
  worker.terminate()
  watch.close()
  URL.revokeObjectURL(url)
  expect(answer).toEqual({ isSynchronous: true, answers: [false, false] })
  expect(await getText(await openStorage(description(directory.path)), 'from/worker')).toBe('hi')
})
