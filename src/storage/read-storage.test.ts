import { describe, expect, test } from 'bun:test'
import { textsOfRecord } from '../kit/settings.ts'
import { readStorage } from './read-storage.ts'

const read = (record: Record<string, string>): ReturnType<typeof readStorage> =>
  readStorage(textsOfRecord(record, 'environment'))

describe('the storage that the settings choose', () => {
  test('is none without a prefix, whatever the options say', async () => {
    const reading = await read({ S3_MAX_PART_SIZE: 'nonsense', AZURE_BUFFER_SIZE: 'nonsense' })
    expect(reading).toEqual({ problems: [], warnings: [] })
  })

  test('is a directory by WALG_FILE_PREFIX, a plain absolute path after file://localhost is gone', async () => {
    const root = async (text: string): Promise<unknown> => {
      const { description } = await read({ WALE_FILE_PREFIX: text })
      return description?.kind === 'fs' ? description.root : undefined
    }
    expect(await root('file://localhost/backups/')).toBe('/backups')
    expect(await root('/')).toBe('/')
    for (const text of ['file:///backups', 'backups', 's3://x']) expect(await root(text)).toBeUndefined()
  })

  test('has its problems reported with name, value and source', async () => {
    const { problems } = await read({ WALG_FILE_PREFIX: 'backups' })
    expect(problems.map(problem => problem.message)).toEqual([
      'WALG_FILE_PREFIX is "backups" (environment), expected an absolute path',
    ])
  })
})

describe('a nested record of settings', () => {
  test('inherits bare names, not those that begin with WALG_ or WALE_', () => {
    const outer = textsOfRecord({ AWS_REGION: 'eu', WALG_AWS_ENDPOINT: 'outer' }, 'environment')
    const nested = textsOfRecord({ WALG_S3_SSE: 'AES256' }, 'failover', outer)
    const find = (name: string): unknown => nested.find([name, `WALG_${name}`, `WALE_${name}`])
    expect(find('AWS_REGION')).toEqual({ name: 'AWS_REGION', text: 'eu', source: 'environment' })
    expect(find('AWS_ENDPOINT')).toBeUndefined()
    expect(find('S3_SSE')).toEqual({ name: 'WALG_S3_SSE', text: 'AES256', source: 'failover' })
  })
})
