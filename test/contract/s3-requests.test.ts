import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createMemoryBudget } from '../../src/kit/limits.ts'
import { textsOfRecord } from '../../src/kit/settings.ts'
import { readS3 } from '../../src/storage/drivers/s3/read-settings.ts'
import { startHttpService } from '../doubles/kms/http-service.ts'
import { type S3Double, startS3Double } from '../doubles/s3-server.ts'
import { Certificates } from '../postgres/certificates.ts'
import { openS3 } from '../support/servers/s3.ts'
import { missingTool, testUnless } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { expectCode, getText, lentStream, patternBytes, putText } from './storage-support.ts'

const TAR = 'basebackups_005/base_000000010000000000000002/tar_partitions/part_001.tar.lz4'
const SENTINEL = 'basebackups_005/base_000000010000000000000002_backup_stop_sentinel.json'
const WAL = 'wal_005/000000010000000000000002.lz4'

describe('what the settings of S3 put into requests', () => {
  let double: S3Double
  beforeAll(async () => {
    double = await startS3Double()
  })
  beforeEach(() => {
    double.objects.clear()
    double.requests.length = 0
  })
  afterAll(() => double.close())

  async function headersOf(settings: Record<string, string>, key: string, sizeBytes = 10) {
    const storage = await openS3(
      { ...double.settings(), ...settings },
      { description: { partSizeBytes: 100_000 } },
    )
    double.requests.length = 0
    await storage.put(key, lentStream(patternBytes(sizeBytes), 50_000))
    await storage.close()
    return double.requests.map(({ headers }) => headers)
  }

  test('an archive class is for the tar files of backups, everything else is there at once', async () => {
    for (const archive of ['GLACIER', 'DEEP_ARCHIVE']) {
      const classOf = async (key: string): Promise<string | undefined> =>
        (await headersOf({ S3_STORAGE_CLASS: archive }, key))[0]?.['x-amz-storage-class']
      expect(await classOf(TAR)).toBe(archive)
      expect(await classOf(SENTINEL)).toBe('STANDARD')
      expect(await classOf(WAL)).toBe('STANDARD')
      expect(await classOf('tar_partitions_of_mine/x.tar.json')).toBe('STANDARD')
    }
    for (const key of [TAR, WAL]) {
      const [headers] = await headersOf({ S3_STORAGE_CLASS: 'STANDARD_IA' }, key)
      expect(headers?.['x-amz-storage-class']).toBe('STANDARD_IA')
    }
  })

  test('encryption by the store goes with a whole object and with the beginning of parts', async () => {
    const kms = { S3_SSE: 'aws:kms', S3_SSE_KMS_ID: 'key-1' }
    for (const sizeBytes of [10, 250_000]) {
      const [first] = await headersOf(kms, TAR, sizeBytes)
      expect(first).toMatchObject({
        'x-amz-server-side-encryption': 'aws:kms',
        'x-amz-server-side-encryption-aws-kms-key-id': 'key-1',
      })
      const [plain] = await headersOf({ S3_SSE: 'AES256' }, TAR, sizeBytes)
      expect(plain?.['x-amz-server-side-encryption']).toBe('AES256')
    }
  })

  test('an object lock says until when, and how, and brings Content-MD5 with every body', async () => {
    const lock = { S3_RETENTION_PERIOD: '3600', S3_RETENTION_MODE: 'COMPLIANCE' }
    const [put] = await headersOf(lock, TAR)
    expect(put?.['x-amz-object-lock-mode']).toBe('COMPLIANCE')
    const untilMs = Date.parse(put?.['x-amz-object-lock-retain-until-date'] ?? '')
    expect(Math.abs(untilMs - Date.now() - 3_600_000)).toBeLessThan(60_000)
    expect(put?.['content-md5']).toBe(createHash('md5').update(patternBytes(10)).digest('base64'))
    const parts = (await headersOf(lock, TAR, 250_000)).slice(1, -1)
    expect(parts.every(headers => headers['content-md5'] !== undefined)).toBe(true)
    const [free] = await headersOf({}, TAR)
    expect(free?.['content-md5']).toBeUndefined()
  })

  test('further headers are sent and signed', async () => {
    for (const text of ['{"X-Project":"backups"}', 'X-Project: backups', '- X-Project: backups']) {
      const [headers] = await headersOf({ S3_REQUEST_ADDITIONAL_HEADERS: text }, TAR)
      expect(headers?.['x-project']).toBe('backups')
      expect(headers?.['authorization']).toContain('x-project')
    }
  })

  test('over http what is sent is signed, unless it is switched off', async () => {
    const [signed] = await headersOf({}, TAR)
    expect(signed?.['x-amz-content-sha256']).toBe(createHash('sha256').update(patternBytes(10)).digest('hex'))
    const [unsigned] = await headersOf({ S3_SIGN_PAYLOAD: 'false' }, TAR)
    expect(unsigned?.['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD')
  })

  test('no checksum trailer, no 100-continue, no chunked body is ever sent', async () => {
    for (const headers of await headersOf({}, TAR, 250_000)) {
      const names = Object.keys(headers).join(' ')
      expect(names).not.toMatch(/x-amz-trailer|x-amz-checksum|x-amz-sdk|expect|transfer-encoding/)
    }
  })

  test('S3_ENDPOINT_SOURCE says where to connect to; the name of the endpoint stays', async () => {
    let node = '127.0.0.1'
    const source = await startHttpService(() => ({ status: 200, body: node, contentType: 'text/plain' }))
    const settings = {
      ...double.settings(),
      AWS_ENDPOINT: 'http://store.invalid',
      AWS_S3_FORCE_PATH_STYLE: 'true',
      S3_ENDPOINT_SOURCE: source.url,
      S3_ENDPOINT_PORT: new URL(double.url).port,
    }
    const storage = await openS3(settings)
    double.requests.length = 0
    double.intercept = ({ headers }) => ({
      status: headers['host'] === 'store.invalid' ? 200 : 500,
      headers: { etag: '"x"' },
    })
    await putText(storage, 'object', 'x')
    await storage.close()
    expect(double.requests).toHaveLength(1)
    node = 'not a host'
    const lost = await openS3(settings, { deadlines: { firstMs: 100, laterMs: 100 } })
    const failure = await expectCode(putText(lost, 'object', 'x'), 'STORAGE_UNAVAILABLE')
    expect(failure.message).toContain('store.invalid')
    double.intercept = undefined
    await lost.close()
    await source.close()
  })

  testUnless(
    missingTool('openssl'),
    'over https the certificate is checked, nothing is hashed, SSE-C works',
    async () => {
      using place = tempDirectory('s3-tls')
      const certificates = new Certificates(place.path)
      certificates.authority('authority')
      certificates.issue('server', 'authority', '/CN=store', 'IP:127.0.0.1')
      certificates.issue('other', 'authority', '/CN=other', 'DNS:other.example')
      const [cert, key] = ['crt', 'key'].map(end => readFileSync(certificates.path(`server.${end}`), 'utf8'))
      const secure = await startS3Double({ tls: { cert: cert!, key: key! } })
      const settings = {
        ...secure.settings(),
        S3_CA_CERT_FILE: certificates.path('authority.crt'),
        S3_SSE: 'AES256',
        S3_SSE_C: '0123456789abcdef0123456789abcdef',
      }
      const storage = await openS3(settings)
      await putText(storage, 'object', 'content')
      expect(await getText(storage, 'object')).toBe('content')
      expect((await storage.stat('object')).sizeBytes).toBe(7)
      await storage.copy('object', 'copy')
      const customerKey = Buffer.from(settings.S3_SSE_C).toString('base64')
      for (const { method, headers } of secure.requests) {
        expect([method, headers['x-amz-server-side-encryption-customer-key']]).toEqual([method, customerKey])
        if (method === 'PUT' && headers['x-amz-copy-source'] === undefined) {
          expect(headers['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD')
        }
      }
      await storage.close()
      const { S3_CA_CERT_FILE: _ca, ...unknown } = settings
      const untrusting = await openS3(unknown)
      const failure = await expectCode(untrusting.stat('object'), 'STORAGE_UNAVAILABLE')
      expect(failure.message).toContain('not trusted')
      expect(failure.hint).toContain('S3_CA_CERT_FILE')
      await untrusting.close()
      await secure.close()
    },
  )

  test('an object beyond the size of one copy is copied part by part', async () => {
    const { copyObject } = await import('../../src/storage/drivers/s3/copying.ts')
    const { S3Requests } = await import('../../src/storage/drivers/s3/requests.ts')
    const { s3Description } = await import('../support/servers/s3.ts')
    const content = patternBytes(250_000)
    const storage = await openS3(double.settings())
    await storage.put('large', lentStream(content, 50_000))
    const requests = new S3Requests({
      name: 's3',
      description: await s3Description(double.settings()),
      stallTimeoutMs: 1000,
    })
    const source = { key: 'main/large', sizeBytes: 250_000 }
    await copyObject(requests, source, 'main/copy', { bytesMax: 100_000, partBytes: 100_000 })
    expect(double.objects.get('main/copy')?.body.equals(content)).toBe(true)
    expect(double.uploads.size).toBe(0)
    requests.close()
    await storage.close()
  })

  test('what many uploads hold together stays within the memory limit', async () => {
    const limitBytes = 24 << 20
    const budget = createMemoryBudget(limitBytes)
    const taken = new Int32Array(budget.shared)
    let mostUnits = 0
    const storages = await Promise.all(
      [1, 2].map(() =>
        openS3(double.settings(), { memoryBudget: budget, description: { partSizeBytes: 5 << 20 } }),
      ),
    )
    double.intercept = () => {
      mostUnits = Math.max(mostUnits, Atomics.load(taken, 0))
      return undefined
    }
    const content = patternBytes(12_000_000)
    const put = async (index: number): Promise<void> => {
      await storages[index % 2]!.put(`large-${index}`, lentStream(content, 1 << 20))
      expect(double.objects.get(`main/large-${index}`)?.body.equals(content)).toBe(true)
      double.objects.delete(`main/large-${index}`)
    }
    await Promise.all(Array.from({ length: 8 }, (_, index) => put(index)))
    double.intercept = undefined
    expect(mostUnits << 16).toBeLessThanOrEqual(limitBytes)
    expect(mostUnits << 16).toBeGreaterThan(10 << 20)
    expect(Atomics.load(taken, 0)).toBe(0)
    for (const storage of storages) await storage.close()
  }, 60_000)

  test('a store that knows no bulk delete gets one request for each object', async () => {
    const storage = await openS3(double.settings())
    for (const key of ['a', 'b', 'c']) await putText(storage, key, key)
    double.intercept = ({ query }) => (query.has('delete') ? { status: 501 } : undefined)
    await storage.delete(['a', 'b', 'c'])
    double.intercept = undefined
    expect(double.objects.size).toBe(0)
    await storage.close()
  })

  test('what fails for a folder or the whole bucket is said in a sentence', async () => {
    const storage = await openS3(double.settings())
    double.intercept = () => ({ status: 403 })
    const [, bucket] = /s3:\/\/([^/]+)/.exec(double.settings()['WALG_S3_PREFIX']!)!
    const listed = async (prefix: string): Promise<void> => {
      for await (const entry of storage.list(prefix)) expect(entry).toBeUndefined()
    }
    await expect(listed('basebackups_005')).rejects.toThrow(
      `unable to list "basebackups_005" of bucket "${bucket}" (storage `,
    )
    await expect(listed('')).rejects.toThrow(`unable to list in bucket "${bucket}" (storage `)
    await expect(storage.delete(['a', 'b'])).rejects.toThrow(`unable to delete from bucket "${bucket}" (`)
    double.intercept = undefined
    await storage.close()
  })

  test('a page of something in between, or a list of buckets, is neither an empty bucket nor a stored object', async () => {
    const storage = await openS3(double.settings(), { deadlines: { firstMs: 100, laterMs: 100 } })
    await putText(storage, 'object', 'x')
    for (const body of ['<html><body>login</body></html>', '<ListAllMyBucketsResult/>', '<x/>']) {
      double.intercept = () => ({ status: 200, body: Buffer.from(body) })
      const listed = (async () => {
        for await (const entry of storage.list('')) expect(entry).toBeUndefined()
      })()
      const failure = await expectCode(listed, 'STORAGE_UNAVAILABLE')
      expect(failure.message).toContain('not <ListBucketResult>')
      expect(failure.hint).toContain('AWS_ENDPOINT')
      await expectCode(storage.checkRoot(), 'STORAGE_UNAVAILABLE')
      await expectCode(storage.delete(['object', 'other']), 'STORAGE_UNAVAILABLE')
      await expectCode(storage.copy('object', 'copy'), 'STORAGE_UNAVAILABLE')
      await expectCode(putText(storage, 'small', 'x'), 'STORAGE_UNAVAILABLE')
      const large = lentStream(patternBytes(12 << 20), 1 << 20)
      await expectCode(storage.put('large', large), 'STORAGE_UNAVAILABLE')
    }
    double.intercept = undefined
    expect([...double.objects.keys()]).toEqual(['main/object'])
    await storage.close()
  })

  test('a store that knows no conditional put is taken at its word', async () => {
    const storage = await openS3(double.settings())
    double.intercept = ({ headers }) => (headers['if-none-match'] === undefined ? undefined : { status: 501 })
    expect(storage.features.conditionalPut).toBe(true)
    const put = storage.put('object', lentStream(patternBytes(9), 9), { ifAbsent: true })
    await expectCode(put, 'FORMAT_UNSUPPORTED')
    expect(storage.features.conditionalPut).toBe(false)
    double.intercept = undefined
    await storage.close()
  })

  test('where a caller may look first, such a store still gets the object, small or in parts, and keeps what is there', async () => {
    for (const bytes of [9, 12 << 20]) {
      const storage = await openS3(double.settings())
      double.intercept = ({ headers }) =>
        headers['if-none-match'] === undefined ? undefined : { status: 501 }
      const put = (key: string): Promise<void> =>
        storage.put(key, lentStream(patternBytes(bytes), 1 << 20), { ifAbsent: true, mayLookFirst: true })
      await put(`object${bytes}`)
      expect((await storage.stat(`object${bytes}`)).sizeBytes).toBe(bytes)
      await put(`second${bytes}`)
      await expectCode(put(`object${bytes}`), 'OBJECT_EXISTS')
      double.intercept = undefined
      await storage.close()
    }
  })
})

describe('settings of S3 that are half set or senseless', () => {
  const problemsOf = async (given: Record<string, string>): Promise<string> => {
    const base = { WALG_S3_PREFIX: 's3://b/p', AWS_ENDPOINT: 'http://h:1' }
    const { problems } = await readS3(textsOfRecord({ ...base, ...given }, 'test'))
    return problems.map(({ message }) => message).join('\n')
  }

  test('are errors before any work', async () => {
    expect(await problemsOf({})).toBe('')
    const cases: readonly (readonly [Record<string, string>, string])[] = [
      [{ AWS_ACCESS_KEY_ID: 'a' }, 'AWS_SECRET_ACCESS_KEY is not'],
      [{ WALG_AWS_SECRET_KEY: 'a' }, 'AWS_ACCESS_KEY_ID is not'],
      [{ S3_SSE: 'aws:kms' }, 'S3_SSE_KMS_ID is not set'],
      [{ S3_SSE_KMS_ID: 'k' }, 'S3_SSE is not'],
      [{ S3_SSE: 'AES256', S3_SSE_KMS_ID: 'k' }, 'S3_SSE is not'],
      [{ S3_SSE_C: 'x'.repeat(32) }, 'S3_SSE is not "AES256"'],
      [{ S3_SSE: 'AES256', S3_SSE_C: 'x'.repeat(32) }, 'over http'],
      [{ AWS_ENDPOINT: 'https://h', S3_SSE: 'AES256', S3_SSE_C: 'short' }, '32 characters'],
      [{ S3_MAX_PART_SIZE: '1m' }, 'at least'],
      [{ S3_REQUEST_ADDITIONAL_HEADERS: 'nonsense' }, 'S3_REQUEST_ADDITIONAL_HEADERS'],
      [{ S3_CA_CERT_FILE: '/no/such/file' }, 'S3_CA_CERT_FILE'],
      [{ WALG_S3_PREFIX: 'gs://b/p' }, 's3://name/path'],
    ]
    for (const [given, message] of cases) expect(await problemsOf(given)).toContain(message)
  })

  test('never show a secret', async () => {
    const text = await problemsOf({ AWS_ACCESS_KEY_ID: 'hunter2', S3_SSE_C: 'hunter3' })
    expect(text).not.toMatch(/hunter/)
  })
})
