import { expect, test } from 'bun:test'
import { collect } from '../../src/kit/bytes.ts'
import type { WalgError } from '../../src/kit/errors.ts'
import type { Storage } from '../../src/storage/storage.ts'
import {
  expectCode,
  getText,
  lentStream,
  listAll,
  patternBytes,
  putText,
} from '../contract/storage-support.ts'
import type { FaultProxy, NetworkFault } from '../doubles/fault-proxy.ts'

/** One kind of storage behind a proxy. */
export interface NetworkStorage {
  readonly proxy: FaultProxy
  /** An empty storage whose blocks have 256 KiB, and which tries three times. */
  open(): Promise<Storage>
  /** Whether a request is the one that … */
  readonly isPutOfWhole: (method: string, path: string) => boolean
  readonly isPutOfBlock: (method: string, path: string) => boolean
  /** The request that makes an object of several blocks visible. */
  readonly isFinish: (method: string, path: string) => boolean
  readonly isGet: (method: string, path: string) => boolean
}

const PASSING: Readonly<Record<string, NetworkFault>> = {
  'a reset': { kind: 'reset' },
  'status 500': { kind: 'answer', status: 500 },
  'status 503 with Retry-After': { kind: 'answer', status: 503, headers: { 'retry-after': '1' } },
  'status 429': { kind: 'answer', status: 429 },
  'a lost answer': { kind: 'lost answer' },
  'a slow first byte': { kind: 'slow', delayMs: 400 },
  'a socket that stalls': { kind: 'stall' },
}

/** What every storage behind a network promises when the network or the service fails. */
export function networkStorageFaults(given: () => NetworkStorage): void {
  const large = patternBytes(1_000_003)
  const withStorage = (body: (storage: Storage, network: NetworkStorage) => Promise<void>) => async () => {
    const network = given()
    const storage = await network.open()
    try {
      await body(storage, network)
      network.proxy.verifyAllStruck()
    } finally {
      network.proxy.reset()
      await storage.close()
    }
  }

  for (const [name, fault] of Object.entries(PASSING)) {
    test(
      `${name} passes without a trace: puts, whole and in blocks, conditional or not, reads`,
      withStorage(async (storage, network) => {
        const { proxy, isPutOfWhole, isPutOfBlock, isFinish, isGet } = network
        for (const ifAbsent of [false, true]) {
          proxy.add({ on: isPutOfWhole, fault })
          await storage.put(`whole-${ifAbsent}`, lentStream(patternBytes(5000), 1000), { ifAbsent })
          for (const on of [isPutOfBlock, isFinish]) {
            proxy.add({ on, fault })
            await storage.put(`large-${ifAbsent}`, lentStream(large, 100_000), { ifAbsent })
            proxy.add({ on: isGet, fault })
            const seen = await collect(await storage.get(`large-${ifAbsent}`), 1 << 24)
            expect(Buffer.from(seen).equals(large)).toBe(true)
            await storage.delete([`large-${ifAbsent}`])
          }
        }
        expect((await listAll(storage, '')).map(entry => entry.key)).toEqual(['whole-false', 'whole-true'])
      }),
      30_000,
    )
  }

  test(
    'a body that breaks or stalls in the middle is taken up where it broke',
    withStorage(async (storage, { proxy, isGet }) => {
      await storage.put('large', lentStream(large, 100_000))
      proxy.add({ on: isGet, fault: { kind: 'cut', afterBytes: 300_000, end: 'reset' } })
      proxy.add({ on: isGet, fault: { kind: 'cut', afterBytes: 1, end: 'reset' } })
      proxy.add({ on: isGet, fault: { kind: 'cut', afterBytes: 200_000, end: 'stall' } })
      const seen = await collect(await storage.get('large', { range: { first: 7 } }), 1 << 24)
      expect(Buffer.from(seen).equals(large.subarray(7))).toBe(true)
    }),
  )

  test(
    'an object that is replaced while a broken read is taken up is an error, not a mixture',
    withStorage(async (storage, { proxy, isGet }) => {
      await storage.put('large', lentStream(large, 100_000))
      proxy.add({ on: isGet, fault: { kind: 'cut', afterBytes: 300_000, end: 'reset' } })
      const read = async (): Promise<void> => {
        let isFirst = true
        for await (const _chunk of await storage.get('large')) {
          if (isFirst) await storage.put('large', lentStream(patternBytes(1_000_003, 2), 100_000))
          isFirst = false
        }
      }
      await expectCode(read(), 'FORMAT_TRUNCATED')
    }),
  )

  test(
    'an object that was there is told from one that an unheard try has stored',
    withStorage(async (storage, { proxy, isPutOfWhole, isFinish }) => {
      await putText(storage, 'whole', 'first')
      proxy.add({ on: isPutOfWhole, fault: { kind: 'lost answer' } })
      await expectCode(
        storage.put('whole', lentStream(patternBytes(9), 9), { ifAbsent: true }),
        'OBJECT_EXISTS',
      )
      const sink = await storage.openSink('large', { ifAbsent: true })
      await sink.write(large)
      await putText(storage, 'large', 'first')
      proxy.add({ on: isFinish, fault: { kind: 'lost answer' } })
      await expectCode(async () => sink.end(), 'OBJECT_EXISTS')
      expect(await getText(storage, 'whole')).toBe('first')
      expect(await getText(storage, 'large')).toBe('first')
    }),
  )

  test(
    'a storage that stays down ends within its tries, with nothing visible and a hint',
    withStorage(async (storage, { proxy, isPutOfWhole, isPutOfBlock }) => {
      const down: NetworkFault = { kind: 'answer', status: 503 }
      proxy.add({ on: isPutOfWhole, fault: down, times: 100 })
      const whole = await expectCode(
        putText(storage, 'object', 'x'),
        'STORAGE_UNAVAILABLE',
        'STORAGE_THROTTLED',
      )
      checkTold(whole, 'object')
      proxy.add({ on: isPutOfBlock, fault: { kind: 'reset' }, times: 100 })
      const blocks = storage.put('large', lentStream(large, 100_000))
      checkTold(await expectCode(blocks, 'STORAGE_UNAVAILABLE'), 'large')
      expect(await listAll(storage, '')).toEqual([])
    }),
    30_000,
  )

  test(
    'that an object is not there is only believed when the storage itself says it',
    withStorage(async (storage, { proxy }) => {
      await putText(storage, 'object', 'x')
      const foreign: NetworkFault = { kind: 'answer', status: 404, body: '<html>no such page</html>' }
      proxy.add({ on: method => method === 'GET' || method === 'HEAD', fault: foreign, times: 100 })
      await expectCode(storage.stat('object'), 'STORAGE_UNAVAILABLE')
      await expectCode(storage.get('object'), 'STORAGE_UNAVAILABLE')
    }),
    30_000,
  )

  test(
    'a signal ends a wait for another try at once',
    withStorage(async (storage, { proxy, isPutOfWhole }) => {
      const long: NetworkFault = { kind: 'answer', status: 503, headers: { 'retry-after': '60' } }
      proxy.add({ on: isPutOfWhole, fault: long })
      const stop = new AbortController()
      const put = storage.put('object', lentStream(patternBytes(9), 9), { signal: stop.signal })
      while (!proxy.log.some(line => line.endsWith('(answer)'))) await Bun.sleep(5)
      stop.abort()
      await expectCode(put, 'CANCELLED')
    }),
  )
}

function checkTold(error: WalgError, key: string): void {
  expect(error.facts['key']).toBe(key)
  expect(error.message).toContain(key)
  expect(error.hint).toBeDefined()
}
