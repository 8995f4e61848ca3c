import { describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync } from 'node:fs'
import { expectCode, listAll, patternBytes, putText } from '../../../test/contract/storage-support.ts'
import { faultyStorage, type StorageFault } from '../../../test/doubles/faulty-storage.ts'
import { forwarded } from '../../../test/doubles/forwarded-storage.ts'
import { type FileFault, instrumentFiles } from '../../../test/doubles/instrumented-files.ts'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { collect, streamOf } from '../../kit/bytes.ts'
import { createStallSlots, watchStalls } from '../../kit/stall-watch.ts'
import { openFsDriver } from '../drivers/fs.ts'
import { openMemoryDriver } from '../drivers/memory.ts'
import type { Storage } from '../storage.ts'
import { withStallLimit } from './stall.ts'

const TIMEOUT_MS = 20

async function hanging(timeoutMs: number, ...faults: StorageFault[]): Promise<Storage> {
  const memory = openMemoryDriver('nfs', crypto.randomUUID())
  await putText(memory, 'object', '0123456789')
  const hangs = faults.map(fault => ({ hangs: true, ...fault }))
  return withStallLimit(faultyStorage(memory, ...hangs), { timeoutMs })
}

describe('a storage that hangs ends as TIMEOUT, with key and storage', () => {
  const uses: Record<string, { fault: StorageFault; use: (storage: Storage) => Promise<unknown> }> = {
    'checking the root': { fault: { operation: 'checkRoot' }, use: storage => storage.checkRoot() },
    list: { fault: { operation: 'list' }, use: storage => listAll(storage, 'a') },
    stat: { fault: { operation: 'stat' }, use: storage => storage.stat('object') },
    get: { fault: { operation: 'get' }, use: storage => storage.get('object') },
    'a get in the middle': {
      fault: { operation: 'get', afterBytes: 5 },
      use: async storage => collect(await storage.get('object'), 100),
    },
    put: { fault: { operation: 'put' }, use: storage => storage.put('object', streamOf(patternBytes(9))) },
    copy: { fault: { operation: 'copy' }, use: storage => storage.copy('object', 'b') },
    delete: { fault: { operation: 'delete' }, use: storage => storage.delete(['object']) },
    'opening a sink': { fault: { operation: 'openSink' }, use: async storage => storage.openSink('object') },
    'a sink in the middle': {
      fault: { operation: 'openSink', afterBytes: 3 },
      use: async storage => {
        const sink = await storage.openSink('object')
        await sink.write(patternBytes(5))
      },
    },
    'a source in the middle': {
      fault: { operation: 'openSource', afterBytes: 3 },
      use: async storage => {
        const source = await storage.openSource('object')
        while ((await source.read(new Uint8Array(10))) > 0) {
          // until it hangs
        }
      },
    },
  }
  for (const [name, { fault, use }] of Object.entries(uses)) {
    test(name, async () => {
      const error = await expectCode(use(await hanging(TIMEOUT_MS, fault)), 'TIMEOUT')
      expect(error.facts['storage']).toBe('nfs')
      expect(error.message).toContain('"nfs"')
      if (fault.operation !== 'checkRoot' && fault.operation !== 'list') {
        expect(error.facts['key']).toBe('object')
        expect(error.message).toContain('"object"')
      }
      expect(error.hint).toBeDefined()
    })
  }
})

test('the time in which a put waits for its own body is not the storage’s', async () => {
  const storage = await hanging(400)
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield patternBytes(10)
    await new Promise(resolve => setTimeout(resolve, 600))
    yield patternBytes(10)
  }
  await storage.put('slow', slow())
  expect((await storage.stat('slow')).sizeBytes).toBe(20)
})

test('the end of an object may take longer by its bytes, as on a slow disk; so may the end of a put', async () => {
  const memory = openMemoryDriver('slow', crypto.randomUUID())
  const until = new Promise<void>(resolve => setTimeout(resolve, 900))
  const slow = faultyStorage(
    memory,
    { operation: 'openSink', isAnswerLost: true, until },
    { operation: 'put', afterBytes: 8 << 20, until },
  )
  const storage = withStallLimit(slow, { timeoutMs: 400 })
  const sink = await storage.openSink('sink')
  await sink.write(patternBytes(8 << 20))
  const put = storage.put('put', streamOf(patternBytes(8 << 20)))
  await expectCode(Promise.all([sink.end(), put]), 'STORAGE_UNAVAILABLE')
  await put
  slow.verifyAllFaultsStruck()
})

test('a limit of 0 is none', () => {
  const storage = openMemoryDriver('memory', crypto.randomUUID())
  expect(withStallLimit(storage, { timeoutMs: 0 })).toBe(storage)
})

test('work that shows progress may take as long as it needs', async () => {
  const storage = openMemoryDriver('memory', crypto.randomUUID())
  let told = 0
  const slow: Storage = {
    ...forwarded(storage),
    async copy(_source, _target, options) {
      for (let n = 0; n < 8; n++) {
        await new Promise(resolve => setTimeout(resolve, 80))
        options?.onProgress?.()
      }
    },
  }
  const limited = withStallLimit(slow, { timeoutMs: 400 })
  await limited.copy('a', 'b', { onProgress: () => told++ })
  expect(told).toBe(8)
})

describe('a file system that hangs', () => {
  const faults: FileFault[] = [
    { call: 'open', path: '.tmp.', hangs: true },
    { call: 'write', hangs: true },
    { call: 'fsync', path: '.tmp.', hangs: true },
    { call: 'rename', hangs: true },
  ]
  for (const fault of faults) {
    test(`in ${fault.call} does not hang a put of the main thread`, async () => {
      using directory = tempDirectory('hang')
      mkdirSync(directory.at('root'))
      const system = instrumentFiles({ faults: [fault] })
      const driver = await openFsDriver({
        name: 'nfs',
        root: directory.at('root'),
        isDurable: true,
        mode: 'pooled',
        system,
      })
      const storage = withStallLimit(driver, { timeoutMs: 300 })
      await expectCode(storage.put('object', streamOf(patternBytes(10))), 'TIMEOUT')
      expect(system.unconsumed()).toEqual([])
      expect(readdirSync(directory.at('root'))).not.toContain('object')
    })
  }

  test('in a blocking write of a worker is seen by the thread that watches', async () => {
    const shared = createStallSlots(1)
    const inside: string[] = []
    const memory = openMemoryDriver('nfs', crypto.randomUUID())
    const blocking: Storage = Object.assign(Object.create(Object.getPrototypeOf(memory)), {
      name: 'nfs',
      features: memory.features,
      openSink: () => ({
        write: () => {
          inside.push(`odd: ${Atomics.load(new Int32Array(shared, 0, 1), 0) % 2 === 1}`)
        },
        end: () => {},
        abort: () => {},
      }),
    })
    const storage = withStallLimit(blocking, { timeoutMs: TIMEOUT_MS, slot: { shared, slot: 0 } })
    const sink = await storage.openSink('a/object')
    expect(sink.write(patternBytes(1))).toBeUndefined()
    expect(inside).toEqual(['odd: true'])
    expect(Atomics.load(new Int32Array(shared, 0, 1), 0) % 2).toBe(0)
    // The same state as during a write that never came back.
    Atomics.add(new Int32Array(shared, 0, 1), 0, 1)
    const what = await new Promise<string>(resolve => {
      const close = watchStalls(shared, {
        timeoutMs: TIMEOUT_MS,
        onStall(label) {
          close()
          resolve(label)
        },
      })
    })
    expect(what).toBe('put "a/object" in storage "nfs"')
  })
})
