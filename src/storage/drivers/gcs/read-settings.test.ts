import { expect, test } from 'bun:test'
import { textsOfRecord } from '../../../kit/settings.ts'
import { readGcs } from './read-settings.ts'

const read = (record: Record<string, string>): ReturnType<typeof readGcs> =>
  readGcs(textsOfRecord({ WALG_GS_PREFIX: 'gs://bucket//some/path/', ...record }, 'environment'))

test('a bucket and a path on the service, with what the machine has for credentials', async () => {
  const { description, problems } = await read({})
  expect(problems).toEqual([])
  expect(description).toMatchObject({
    bucket: 'bucket',
    root: 'some/path',
    endpoint: 'https://storage.googleapis.com',
    credentials: { kind: 'default' },
    chunkSizeBytes: 16 * 1024 * 1024,
    attemptsMax: 16,
    timeoutMs: 3_600_000,
  })
})

test('chunks are multiples of 256 KiB, and at least one', async () => {
  const size = async (text: string): Promise<number | undefined> =>
    (await read({ GCS_MAX_CHUNK_SIZE: text })).description?.chunkSizeBytes
  expect(await size('600000')).toBe(524_288)
  expect(await size('0')).toBe(262_144)
  expect(await size('52428800')).toBe(52_428_800)
})

test('an emulator is asked without credentials, by host or by address', async () => {
  for (const host of ['127.0.0.1:4443', 'http://127.0.0.1:4443/']) {
    const { description } = await read({
      STORAGE_EMULATOR_HOST: host,
      GOOGLE_APPLICATION_CREDENTIALS: '/no-such',
    })
    expect(description).toMatchObject({ endpoint: 'http://127.0.0.1:4443', credentials: { kind: 'none' } })
  }
})

test('every problem is named, a file of credentials that is none too, and no secret', async () => {
  const { description, problems } = await read({
    GOOGLE_APPLICATION_CREDENTIALS: import.meta.path,
    GCS_ENCRYPTION_KEY: 'c2hvcnQ=',
    GCS_CONTEXT_TIMEOUT: 'abc',
    GCS_MAX_CHUNK_SIZE: 'abc',
    GCS_NORMALIZE_PREFIX: 'abc',
  })
  expect(description).toBeUndefined()
  expect(problems.flatMap(problem => problem.names).sort()).toEqual([
    'GCS_CONTEXT_TIMEOUT',
    'GCS_ENCRYPTION_KEY',
    'GCS_MAX_CHUNK_SIZE',
    'GCS_NORMALIZE_PREFIX',
    'GOOGLE_APPLICATION_CREDENTIALS',
  ])
  expect(JSON.stringify(problems)).not.toContain('c2hvcnQ=')
})
