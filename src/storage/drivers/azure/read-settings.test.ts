import { expect, test } from 'bun:test'
import { textsOfRecord } from '../../../kit/settings.ts'
import { readAzure } from './read-settings.ts'

const KEY = 'c2VjcmV0c2VjcmV0'
const BASE = { WALG_AZ_PREFIX: 'azure://container/some%20path/', AZURE_STORAGE_ACCOUNT: 'account' }

const read = (record: Record<string, string>): ReturnType<typeof readAzure> =>
  readAzure(textsOfRecord({ ...BASE, ...record }, 'environment'))

test('a container, a path and a key, with the defaults of the original', async () => {
  const { description, problems, warnings } = await read({ AZURE_STORAGE_ACCESS_KEY: KEY })
  expect({ problems, warnings }).toEqual({ problems: [], warnings: [] })
  expect(description).toMatchObject({
    container: 'container',
    root: 'some path',
    serviceUrl: 'https://account.blob.core.windows.net',
    credentials: { kind: 'key', key: KEY },
    blockSizeBytes: 8 * 1024 * 1024,
    blocksMax: 4,
    tryTimeoutMs: 300_000,
  })
})

test('bare names, WALG_ and WALE_, and blocks that are too small are as small as may be', async () => {
  const { description } = await read({ WALG_AZURE_BUFFER_SIZE: '10', WALE_AZURE_MAX_BUFFERS: '0' })
  expect(description).toMatchObject({ blockSizeBytes: 1024, blocksMax: 1, credentials: { kind: 'identity' } })
})

test('a signature with its question mark; a key wins over it, with a warning', async () => {
  const sas = await read({ AZURE_STORAGE_SAS_TOKEN: '?sv=1&sig=x' })
  expect(sas.description?.credentials).toEqual({ kind: 'sas', token: 'sv=1&sig=x' })
  const both = await read({ AZURE_STORAGE_SAS_TOKEN: 'sv=1', AZURE_STORAGE_ACCESS_KEY: KEY })
  expect(both.description?.credentials.kind).toBe('key')
  expect(both.warnings).toHaveLength(1)
})

test('clouds, other host names, and whole addresses', async () => {
  const url = async (record: Record<string, string>): Promise<string | undefined> =>
    (await read(record)).description?.serviceUrl
  expect(await url({ AZURE_ENVIRONMENT_NAME: 'AzureChinaCloud' })).toBe(
    'https://account.blob.core.chinacloudapi.cn',
  )
  const both = { AZURE_ENDPOINT_SUFFIX: 'example.org', AZURE_ENVIRONMENT_NAME: 'AzureChinaCloud' }
  expect(await url(both)).toBe('https://account.blob.example.org')
  expect(await url({ AZURE_ENDPOINT_SUFFIX: 'http://127.0.0.1:10000/account/' })).toBe(
    'http://127.0.0.1:10000/account',
  )
})

test('every problem is named, and no secret', async () => {
  const { description, problems } = await read({
    AZURE_STORAGE_ACCOUNT: '',
    AZURE_STORAGE_ACCESS_KEY: 'not/base64!',
    AZURE_BUFFER_SIZE: 'many',
    AZURE_TRY_TIMEOUT: 'x',
    AZURE_ENVIRONMENT_NAME: 'Mars',
    AZURE_BLOB_STORE_API_VERSION: 'new',
  })
  expect(description).toBeUndefined()
  expect(problems.flatMap(problem => problem.names).sort()).toEqual([
    'AZURE_BLOB_STORE_API_VERSION',
    'AZURE_BUFFER_SIZE',
    'AZURE_ENVIRONMENT_NAME',
    'AZURE_STORAGE_ACCESS_KEY',
    'AZURE_STORAGE_ACCOUNT',
    'AZURE_TRY_TIMEOUT',
  ])
  expect(JSON.stringify(problems)).not.toContain('not/base64!')
})
