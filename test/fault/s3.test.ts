import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { onNotice } from '../../src/kit/log.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { expectCode, getText, lentStream, patternBytes, putText } from '../contract/storage-support.ts'
import { type FaultProxy, startFaultProxy } from '../doubles/fault-proxy.ts'
import { error, type S3Double, startS3Double } from '../doubles/s3-server.ts'
import { openS3 } from '../support/servers/s3.ts'
import { networkStorageFaults } from './network-storage.ts'

setDefaultTimeout(60_000)

describe('s3 behind a bad network', () => {
  let double: S3Double
  let proxy: FaultProxy
  let notices: string[] = []
  beforeAll(async () => {
    double = await startS3Double()
    proxy = await startFaultProxy(double.url)
    onNotice(text => notices.push(text))
  })
  afterAll(async () => {
    await proxy.close()
    await double.close()
    onNotice(() => {})
  })

  const isPart = (method: string, path: string): boolean => method === 'PUT' && path.includes('partNumber=')
  networkStorageFaults(() => ({
    proxy,
    open: async () => {
      double.objects.clear()
      return openS3(
        {
          ...double.settings(),
          AWS_ENDPOINT: proxy.url,
          S3_MAX_RETRIES: '2',
          S3_MIN_THROTTLING_RETRY_DELAY: '1',
        },
        { stallTimeoutMs: 1000, description: { partSizeBytes: 262_144 } },
      )
    },
    isPutOfWhole: (method, path) => method === 'PUT' && !path.includes('?'),
    isPutOfBlock: isPart,
    isFinish: (method, path) => method === 'POST' && path.includes('uploadId='),
    isGet: (method, path) => method === 'GET' && !path.includes('?'),
  }))

  const withDouble =
    (body: (storage: Storage) => Promise<void>, settings: Record<string, string> = {}) =>
    async () => {
      double.objects.clear()
      double.requests.length = 0
      notices = []
      const storage = await openS3({ ...double.settings(), ...settings }, { stallTimeoutMs: 1000 })
      try {
        await body(storage)
      } finally {
        double.intercept = undefined
        await storage.close()
      }
    }

  const PASSING: Record<string, ReturnType<typeof error>> = {
    '499 ClientDisconnected': error(499, 'ClientDisconnected', 'the client is gone'),
    '400 RequestTimeout': error(400, 'RequestTimeout', 'Your socket connection was not read from'),
    '409 OperationAborted': error(409, 'OperationAborted', 'try again'),
    'an answer that says Error with status 200': error(
      200,
      'InternalError',
      'We encountered an internal error',
    ),
  }
  for (const [name, reply] of Object.entries(PASSING)) {
    test(
      `${name} is tried again, and that is said`,
      withDouble(async storage => {
        await putText(storage, 'source', 'content')
        let left = 2
        double.intercept = seen => (seen.key === 'main/copy' && left-- > 0 ? reply : undefined)
        await storage.copy('source', 'copy')
        double.intercept = undefined
        expect(await getText(storage, 'copy')).toBe('content')
        expect(notices).toHaveLength(2)
        expect(notices[0]).toContain('copy to "copy"')
        expect(notices[0]).toContain('trying again in')
      }),
    )
  }

  test('an endpoint that refuses connections is said at once, and ends within seconds with what to look at', async () => {
    notices = []
    const settings = { ...double.settings(), AWS_ENDPOINT: 'http://127.0.0.1:1' }
    const storage = await openS3(settings, { deadlines: { firstMs: 1000, laterMs: 1000 } })
    const failure = await expectCode(putText(storage, 'object', 'x'), 'STORAGE_UNAVAILABLE')
    expect(failure.message).toMatch(/connection refused; tried \d+ times in \d s/)
    expect(failure.hint).toContain('AWS_ENDPOINT')
    expect(notices[0]).toContain('http://127.0.0.1:1: put "object": connection refused; trying again')
  })

  test('a host that has no address is named', async () => {
    const settings = { ...double.settings(), AWS_ENDPOINT: 'http://no-such-host.invalid' }
    const storage = await openS3(settings, { deadlines: { firstMs: 300, laterMs: 300 } })
    const failure = await expectCode(storage.checkRoot(), 'STORAGE_UNAVAILABLE')
    expect(failure.message).toContain('no-such-host.invalid')
    expect(failure.message).toContain('cannot be resolved')
  })

  test(
    'a clock that is off is said, and requests are signed with the time of the store',
    withDouble(async storage => {
      const serverMs = Date.now() + 3_600_000
      let refused = 0
      double.intercept = ({ headers }) => {
        const time = headers['x-amz-date']!.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5')
        if (Math.abs(Date.parse(time) - serverMs) < 60_000) return undefined
        refused++
        const reply = error(403, 'RequestTimeTooSkewed', 'The difference between the times is too large')
        return { ...reply, headers: { date: new Date(serverMs).toUTCString() } }
      }
      await putText(storage, 'object', 'x')
      expect(await getText(storage, 'object')).toBe('x')
      expect(refused).toBe(1)
      expect(notices.join()).toMatch(/the clock of this host is 3[56]\d\d s behind that of/)
    }),
  )

  test(
    'access denied, a missing bucket, expired credentials and a full bucket are named, at once, with what to do',
    withDouble(async storage => {
      const cases = [
        [error(403, 'AccessDenied', 'Access Denied.'), 'ACCESS_DENIED', 'the permission s3:PutObject (docs'],
        [
          error(404, 'NoSuchBucket', 'The bucket does not exist'),
          'STORAGE_ROOT_MISSING',
          'create the bucket',
        ],
        [error(400, 'ExpiredToken', 'The provided token has expired.'), 'ACCESS_DENIED', 'new keys'],
        [error(403, 'QuotaExceeded', 'quota'), 'DISK_FULL', 'full'],
        [error(507, 'XMinioStorageFull', 'Storage backend is full'), 'DISK_FULL', 'full'],
        [{ status: 403 }, 'ACCESS_DENIED', 'the permission s3:PutObject (docs'],
      ] as const
      for (const [reply, code, hint] of cases) {
        double.intercept = () => reply
        double.requests.length = 0
        const failure = await expectCode(putText(storage, 'object', 'x'), code)
        expect(failure.hint).toContain(hint)
        expect(failure.message).toContain('"backups"')
        expect(double.requests).toHaveLength(1)
      }
      expect(notices).toEqual([])
    }),
  )

  test(
    'why HEAD was refused is learned from a GET',
    withDouble(async storage => {
      double.intercept = ({ method }) =>
        method === 'HEAD' ? { status: 400 } : error(400, 'ExpiredToken', 'The provided token has expired.')
      const failure = await expectCode(storage.stat('object'), 'ACCESS_DENIED')
      expect(failure.message).toContain('ExpiredToken')
    }),
  )

  test(
    'an object in an archive class says how it is restored',
    withDouble(
      async storage => {
        const key = 'basebackups_005/base_1/tar_partitions/part_001.tar.lz4'
        await putText(storage, key, 'x')
        const failure = await expectCode(storage.get(key), 'ACCESS_DENIED')
        expect(failure.hint).toContain('restore-object')
      },
      { S3_STORAGE_CLASS: 'GLACIER' },
    ),
  )

  test(
    'a body that is longer or shorter than announced is never taken for the object',
    withDouble(
      async storage => {
        const content = patternBytes(100_000)
        await storage.put('object', lentStream(content, 10_000))
        for (const length of ['100001', '200000']) {
          double.intercept = ({ method, headers }) =>
            method === 'GET' && headers['range'] === undefined
              ? {
                  status: 200,
                  headers: { 'content-length': length, etag: '"x"' },
                  body: Buffer.from(content),
                }
              : undefined
          const read = async (): Promise<void> => {
            for await (const _chunk of await storage.get('object')) {
              // until it ends
            }
          }
          await expectCode(read(), 'STORAGE_UNAVAILABLE', 'FORMAT_TRUNCATED', 'TIMEOUT')
        }
      },
      { S3_RANGE_MAX_RETRIES: '1' },
    ),
    20_000,
  )

  test(
    'a put that was aborted by a signal takes its parts away from the store',
    withDouble(async storage => {
      const stop = new AbortController()
      const sink = await storage.openSink('object', { signal: stop.signal })
      await sink.write(patternBytes(21 << 20))
      stop.abort()
      await expectCode(async () => sink.write(patternBytes(1)), 'CANCELLED')
      await sink.abort()
      expect([double.uploads.size, double.objects.size]).toEqual([0, 0])
    }),
  )
})
