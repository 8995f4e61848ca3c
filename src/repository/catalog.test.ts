import { afterEach, beforeEach, expect, test } from 'bun:test'
import { streamOf } from '../kit/bytes.ts'
import { dropMemory, openMemoryDriver } from '../storage/drivers/memory.ts'
import type { Storage } from '../storage/storage.ts'
import { toBackupName } from './backup-name.ts'
import {
  backupExists,
  backupObjectKeys,
  listBackups,
  readCatalog,
  readFilesMetadata,
  readSentinel,
} from './catalog.ts'
import { selectBackup, selectionOf } from './selector.ts'

const OLD = toBackupName('base_000000010000000000000008')
const NEW = toBackupName('base_000000010000000000000002_D_000000010000000000000001')

let storage: Storage

beforeEach(() => {
  storage = openMemoryDriver('default', 'catalog-test')
})
afterEach(() => dropMemory('catalog-test'))

async function put(key: string, text: string): Promise<void> {
  await storage.put(`basebackups_005/${key}`, streamOf(new TextEncoder().encode(text)))
}

async function putBackup(name: string, userData?: string): Promise<void> {
  const data = userData === undefined ? '' : `,"UserData":${userData}`
  await put(`${name}/tar_partitions/part_001.tar.lz4`, 'x')
  await put(`${name}_backup_stop_sentinel.json`, `{"LSN":1,"Version":2${data}}`)
}

test('LATEST is the sentinel that was written last, whatever the names say', async () => {
  await putBackup(OLD)
  await putBackup(NEW)
  expect((await listBackups(storage)).map(({ name }) => name)).toEqual([OLD, NEW])
  expect((await selectBackup(storage, selectionOf('LATEST'))).name).toBe(NEW)
})

test('a folder without a sentinel is a leftover, not a backup', async () => {
  await putBackup(OLD)
  await put(`${NEW}/tar_partitions/part_001.tar.lz4`, 'x')
  await put(`${NEW}/metadata.json`, '{}')
  expect(await readCatalog(storage)).toMatchObject({ backups: [{ name: OLD }], leftovers: [NEW] })
  expect(await backupExists(storage, NEW)).toBe(false)
  expect(await backupObjectKeys(storage, NEW)).toEqual([
    `basebackups_005/${NEW}/metadata.json`,
    `basebackups_005/${NEW}/tar_partitions/part_001.tar.lz4`,
  ])
})

test('foreign objects beside the backups are not listed', async () => {
  await put('notes.txt', 'x')
  await put('_backup_stop_sentinel.json', '{}')
  expect(await readCatalog(storage)).toEqual({ backups: [], leftovers: [] })
})

test('an empty repository has no backups', async () => {
  await expect(selectBackup(storage, selectionOf('LATEST'))).rejects.toMatchObject({
    code: 'BACKUP_NOT_FOUND',
    message: 'No backups found',
  })
})

test('an unknown name is said as the original says it, and only LATEST in capitals is the latest', async () => {
  await putBackup(OLD)
  await expect(selectBackup(storage, selectionOf('latest'))).rejects.toMatchObject({
    code: 'BACKUP_NOT_FOUND',
    message: "Backup 'latest' does not exist.",
  })
})

test.each(['', '{"LSN":1,"Vers'])(
  'a latest backup with the sentinel %p is named as broken, with the one to take',
  async text => {
    await putBackup(OLD)
    await put(`${NEW}_backup_stop_sentinel.json`, text)
    await expect(selectBackup(storage, selectionOf('LATEST'))).rejects.toMatchObject({
      code: 'BACKUP_BROKEN',
      message: expect.stringContaining(NEW),
      hint: expect.stringContaining(OLD),
    })
    await expect(readSentinel(storage, NEW)).rejects.toMatchObject({ code: 'BACKUP_BROKEN' })
    expect((await listBackups(storage)).map(({ name }) => name)).toContain(NEW)
  },
)

test('a backup is found by its user data whatever the notation', async () => {
  await putBackup(OLD, '{"a":1,"b":[2]}')
  await putBackup(NEW, '"text"')
  const found = await selectBackup(storage, { kind: 'user-data', json: '{ "b": [2.0], "a": 1 }' })
  expect(found.name).toBe(OLD)
  await expect(selectBackup(storage, { kind: 'user-data', json: 'text' })).rejects.toMatchObject({
    code: 'USAGE',
  })
  await expect(selectBackup(storage, { kind: 'user-data', json: '0' })).rejects.toMatchObject({
    message: 'No backups found',
  })
})

test('metadata.json decides about user data, as it can be changed later', async () => {
  await putBackup(OLD, '1')
  const metadata =
    '{"start_time":"2026-11-22T11:35:06Z","finish_time":"2026-11-22T11:35:06Z","start_lsn":1,"finish_lsn":2,"user_data":2}'
  await put(`${OLD}/metadata.json`, metadata)
  expect((await selectBackup(storage, { kind: 'user-data', json: '2' })).name).toBe(OLD)
  await expect(selectBackup(storage, { kind: 'user-data', json: '1' })).rejects.toThrow('No backups found')
})

test('big integers are told apart, and one that the original rounded is still found', async () => {
  await putBackup(OLD, '12345678901234567000')
  const rounded = await selectBackup(storage, { kind: 'user-data', json: '12345678901234567890' })
  expect(rounded.name).toBe(OLD)
  await putBackup(NEW, '12345678901234567890')
  const exact = await selectBackup(storage, { kind: 'user-data', json: '12345678901234567890' })
  expect(exact.name).toBe(NEW)
  await storage.delete([`basebackups_005/${OLD}_backup_stop_sentinel.json`])
  const neighbour = selectBackup(storage, { kind: 'user-data', json: '12345678901234567891' })
  await expect(neighbour).rejects.toThrow('No backups found')
})

test('null finds the backup without user data', async () => {
  const find = () => selectBackup(storage, { kind: 'user-data', json: ' null ' })
  await putBackup(NEW, '1')
  await expect(find()).rejects.toThrow('No backups found')
  await putBackup(OLD)
  expect((await find()).name).toBe(OLD)
  await putBackup(NEW)
  await expect(find()).rejects.toMatchObject({ code: 'BACKUP_AMBIGUOUS' })
})

test('user data that several backups have is ambiguous', async () => {
  await putBackup(OLD, '1')
  await putBackup(NEW, '1.0')
  await expect(selectBackup(storage, { kind: 'user-data', json: '1' })).rejects.toMatchObject({
    code: 'BACKUP_AMBIGUOUS',
    message: `too many backups (2) found with specified user data: [${OLD} ${NEW}]`,
  })
})

test('user data that is not found is not called absent while a backup cannot be read', async () => {
  await put(`${OLD}_backup_stop_sentinel.json`, '')
  await expect(selectBackup(storage, { kind: 'user-data', json: '1' })).rejects.toMatchObject({
    code: 'BACKUP_BROKEN',
  })
})

test('a backup without its files_metadata.json is broken, unless it was taken without or is an old full', async () => {
  const read = async (text: string) => {
    await put(`${OLD}_backup_stop_sentinel.json`, text)
    return readFilesMetadata(storage, OLD, await readSentinel(storage, OLD))
  }
  const delta = '"DeltaFrom":"base_A","DeltaFullName":"base_A","DeltaLSN":1,"DeltaCount":1'
  await expect(read('{"Version":2}')).rejects.toMatchObject({ code: 'BACKUP_BROKEN' })
  await expect(read(`{"Version":2,${delta}}`)).rejects.toMatchObject({ code: 'BACKUP_BROKEN' })
  await expect(read(`{${delta}}`)).rejects.toMatchObject({ code: 'BACKUP_BROKEN' })
  expect(await read('{"Version":2,"FilesMetadataDisabled":true}')).toBeNull()
  expect(await read('{"LSN":1}')).toBeNull()
  expect((await read('{"Files":{"/x":{"MTime":"2026-01-01T00:00:00Z"}}}'))?.filesCount).toBe(1)
})
