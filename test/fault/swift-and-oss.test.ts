import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { openOssDriver } from '../../src/storage/drivers/oss/driver.ts'
import { openSwiftDriver } from '../../src/storage/drivers/swift/driver.ts'
import type { PatienceOptions } from '../../src/storage/requests/patient-request.ts'
import type { Storage } from '../../src/storage/storage.ts'
import {
  allKeys,
  expectCode,
  getBytes,
  getText,
  lentStream,
  patternBytes,
  putText,
} from '../contract/storage-support.ts'
import { type FaultProxy, type NetworkFault, startFaultProxy } from '../doubles/fault-proxy.ts'
import { type OssServer, startOssServer } from '../doubles/oss-server/oss-server.ts'
import { ossDescription } from '../support/servers/oss.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../support/servers/swift-server.ts'
import { describeUnless } from '../support/skip.ts'

interface Scene {
  readonly proxy: FaultProxy
  open(): Promise<Storage>
}

const PART_BYTES = 131_072
const is =
  (wanted: string, part = '') =>
  (method: string, path: string): boolean =>
    method === wanted && path.includes(part)

/** Trouble that passes: the request is made again, and the caller never hears of it. */
const PASSING: readonly (readonly [title: string, fault: NetworkFault])[] = [
  ['500', { kind: 'answer', status: 500 }],
  ['503 with Retry-After', { kind: 'answer', status: 503, headers: { 'retry-after': '0' } }],
  ['429', { kind: 'answer', status: 429 }],
  ['499', { kind: 'answer', status: 499 }],
  ['a broken connection', { kind: 'reset' }],
  ['an answer lost after the work was done', { kind: 'lost answer' }],
  ['a slow first byte', { kind: 'slow', delayMs: 200 }],
]

function faultSentences(scene: () => Scene): void {
  const withStorage = async (body: (storage: Storage) => Promise<void>): Promise<void> => {
    scene().proxy.reset()
    const storage = await scene().open()
    try {
      await storage.checkRoot()
      await body(storage)
      scene().proxy.verifyAllStruck()
    } finally {
      await storage.close()
    }
  }

  for (const [title, fault] of PASSING) {
    test(`${title}: made again, whatever was asked`, () =>
      withStorage(async storage => {
        const { proxy } = scene()
        const strike = (method: string, part = ''): void => proxy.add({ on: is(method, part), fault })
        strike('PUT', 'small')
        await putText(storage, 'a/small', 'content')
        strike('GET', 'small')
        expect(await getText(storage, 'a/small')).toBe('content')
        strike('HEAD', 'small')
        expect((await storage.stat('a/small')).sizeBytes).toBe(7)
        proxy.add({ on: (method, path) => method === 'GET' && /list-type|prefix=/.test(path), fault })
        expect(await allKeys(storage)).toEqual(['a/small'])
        strike('PUT', 'large')
        const content = patternBytes(4 * PART_BYTES + 1)
        await storage.put('a/large', lentStream(content, 50_000))
        expect(Buffer.from(await getBytes(storage, 'a/large')).equals(content)).toBe(true)
        strike('PUT', 'copied')
        await storage.copy('a/small', 'a/copied')
        await storage.delete(['a/small', 'a/copied', 'a/large'])
        expect(await allKeys(storage)).toEqual([])
      }))
  }

  test('a body that breaks off goes on where it was', () =>
    withStorage(async storage => {
      const content = patternBytes(900_001)
      await storage.put('object', lentStream(content, 100_000))
      for (const afterBytes of [0, 100_000, 500_000]) {
        scene().proxy.add({ on: is('GET', 'object'), fault: { kind: 'cut', afterBytes, end: 'reset' } })
      }
      expect(Buffer.from(await getBytes(storage, 'object')).equals(content)).toBe(true)
    }))

  test('trouble that stays ends after a bounded number of tries, and nothing is left', () =>
    withStorage(async storage => {
      const { proxy } = scene()
      const fault = { kind: 'answer', status: 503 } as const
      proxy.add({ on: is('PUT', 'object'), fault, times: 1000 })
      const failed = storage.put('object', lentStream(patternBytes(10), 10))
      const error = await expectCode(failed, 'STORAGE_UNAVAILABLE')
      expect([error.facts['status'], error.facts['key']]).toEqual([503, 'object'])
      expect(proxy.log.filter(line => line.startsWith('PUT')).length).toBeLessThan(10)
      expect(await allKeys(storage)).toEqual([])
    }))

  test('a used-up quota and a refused key are said at once', () =>
    withStorage(async storage => {
      const cases = [
        [413, 'DISK_FULL'],
        [507, 'DISK_FULL'],
        [403, 'ACCESS_DENIED'],
      ] as const
      for (const [status, code] of cases) {
        scene().proxy.add({ on: is('PUT', 'object'), fault: { kind: 'answer', status } })
        const error = await expectCode(putText(storage, 'object', 'x'), code)
        expect(error.hint).toBeString()
      }
    }))

  test('a part that fails for good leaves neither an object nor its parts', () =>
    withStorage(async storage => {
      scene().proxy.add({
        on: (method, path) => method === 'PUT' && /0000002|partNumber=3/.test(path),
        fault: { kind: 'answer', status: 403 },
      })
      const put = storage.put('broken', lentStream(patternBytes(6 * PART_BYTES), PART_BYTES))
      await expectCode(put, 'ACCESS_DENIED')
      expect(await allKeys(storage)).toEqual([])
    }))
}

describe('OSS behind a line that misbehaves', () => {
  let server: OssServer
  let proxy: FaultProxy
  let bucket = ''
  beforeAll(async () => {
    server = await startOssServer()
    proxy = await startFaultProxy(server.url)
  })
  afterAll(async () => {
    await proxy.close()
    await server[Symbol.asyncDispose]()
  })

  faultSentences(() => ({
    proxy,
    async open() {
      bucket = server.createBucket()
      const description = {
        ...ossDescription(server, bucket),
        endpoint: proxy.url,
        partSizeBytes: PART_BYTES,
      }
      return openOssDriver({ name: 'oss', ...description })
    },
  }))

  test('uploads that fail are aborted, and the key of a role is renewed before it ends', async () => {
    expect(server.bucket(bucket).uploads.size).toBe(0)
    server.roleLifetimeMs = 60_000
    const name = server.createBucket()
    const description = ossDescription(server, name)
    const role = { arn: 'acs:ram::1:role/backup', sessionName: 'test', endpoint: server.url }
    const storage = openOssDriver({
      name: 'oss',
      ...description,
      credentials: { ...description.credentials, role },
    })
    const assumedBefore = server.rolesAssumed
    await putText(storage, 'one', '1')
    await putText(storage, 'two', '2')
    expect(server.rolesAssumed).toBe(assumedBefore + 2)
    await storage.close()
  })

  test('a conditional put whose answer was lost knows its own object', async () => {
    proxy.reset()
    const description = { ...ossDescription(server, server.createBucket()), endpoint: proxy.url }
    const storage = openOssDriver({ name: 'oss', ...description, partSizeBytes: PART_BYTES })
    for (const sizeBytes of [10, 3 * PART_BYTES]) {
      const key = `object-${sizeBytes}`
      const method = sizeBytes === 10 ? 'PUT' : 'POST'
      const isVisible = (verb: string, path: string): boolean =>
        verb === method && path.includes(key) && !path.includes('uploads')
      proxy.add({ on: isVisible, fault: { kind: 'lost answer' } })
      await storage.put(key, lentStream(patternBytes(sizeBytes), 1000), { ifAbsent: true })
      const again = storage.put(key, lentStream(patternBytes(sizeBytes, 2), 1000), { ifAbsent: true })
      await expectCode(again, 'OBJECT_EXISTS')
    }
    proxy.verifyAllStruck()
    await storage.close()
  })
})

describeUnless(missingSwift(), 'Swift behind a line that misbehaves', () => {
  let server: SwiftServer
  let proxy: FaultProxy
  beforeAll(async () => {
    server = await startSwiftServer()
    proxy = await startFaultProxy(server.url)
  })
  afterAll(async () => {
    await proxy.close()
    await server.stop()
  })

  const open = async (patience: Partial<PatienceOptions> = {}): Promise<Storage> => {
    const { OS_USERNAME: username, OS_PASSWORD: password } = server.swift
    const url = `${proxy.url}/auth/v1.0`
    return openSwiftDriver({
      kind: 'swift',
      name: 'swift',
      container: await server.createContainer(),
      root: '',
      identity: { version: 1, url, username, password, storageUrl: `${proxy.url}/v1/AUTH_test` },
      segmentSizeBytes: PART_BYTES,
      segmentsMax: 3,
      patience,
    })
  }
  faultSentences(() => ({ proxy, open: () => open() }))

  test('a 200 that is no listing is neither an empty container nor a root that is there', async () => {
    proxy.reset()
    const storage = await open({ attemptsMax: 1 })
    for (const status of [200, 204]) {
      const fault = { kind: 'answer', status, headers: { 'content-type': 'application/json' } } as const
      proxy.add({ on: is('GET', 'format=json'), fault })
      await expectCode(() => storage.checkRoot(), 'STORAGE_UNAVAILABLE')
      proxy.verifyAllStruck()
    }
    await storage.checkRoot()
    await storage.close()
  })

  test('a token that has expired is replaced in the middle of an object', async () => {
    proxy.reset()
    const storage = await open()
    const expired = { kind: 'answer', status: 401 } as const
    const content = patternBytes(6 * PART_BYTES)
    for (const part of ['0000001', '0000003']) proxy.add({ on: is('PUT', part), fault: expired })
    await storage.put('object', lentStream(content, PART_BYTES))
    proxy.add({ on: is('GET', 'object'), fault: expired })
    expect(Buffer.from(await getBytes(storage, 'object')).equals(content)).toBe(true)
    expect(proxy.log.filter(line => line.includes('/auth/')).length).toBeGreaterThan(2)
    proxy.verifyAllStruck()
    proxy.add({ on: is('PUT', 'denied'), fault: expired, times: 2 })
    await expectCode(putText(storage, 'denied', 'x'), 'ACCESS_DENIED')
    await storage.close()
  })
})
