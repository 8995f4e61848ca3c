import { afterEach, beforeEach, expect, test } from 'bun:test'
import { streamOf } from '../../kit/bytes.ts'
import { createLogger, type LogLevel } from '../../kit/log.ts'
import { dropMemory, openMemoryDriver } from '../../storage/drivers/memory.ts'
import type { Storage } from '../../storage/storage.ts'
import { backupList, type ListedBackup } from './backup-list.ts'

const OLD = 'base_000000010000000000000002'
const NEW = 'base_000000010000000000000004_D_000000010000000000000002'

let storage: Storage
let logged: { level: LogLevel; message: string }[]

beforeEach(() => {
  storage = openMemoryDriver('default', 'backup-list-test')
  logged = []
})
afterEach(() => dropMemory('backup-list-test'))

async function put(key: string, text: string): Promise<void> {
  await storage.put(`basebackups_005/${key}`, streamOf(new TextEncoder().encode(text)))
}

function list(detail: boolean): Promise<readonly ListedBackup[]> {
  const log = createLogger((level, message) => logged.push({ level, message }))
  return backupList({ storage, log, signal: new AbortController().signal }, { detail })
}

function metadata(startTime: string): string {
  return `{"start_time":"${startTime}","finish_time":"${startTime}","start_lsn":1,"finish_lsn":2,"is_permanent":true}`
}

async function putBackup(name: string, startTime: string): Promise<void> {
  await put(`${name}/metadata.json`, metadata(startTime))
  const delta = name.includes('_D_')
    ? `,"DeltaFrom":"${OLD}","DeltaFullName":"${OLD}","DeltaLSN":1,"DeltaCount":1`
    : ''
  const text = `{"LSN":1,"FinishLSN":2,"Version":2,"StartTime":"${startTime}","Hostname":"here"${delta}}`
  await put(`${name}_backup_stop_sentinel.json`, text)
}

const warnings = (): string[] =>
  logged.filter(({ level }) => level === 'WARNING').map(({ message }) => message)

test('backups come in the order of their sentinels, with details in the order of their start', async () => {
  await putBackup(NEW, '2026-11-22T12:00:00Z')
  await putBackup(OLD, '2026-11-22T11:00:00Z')
  expect((await list(false)).map(({ entry }) => String(entry.name))).toEqual([NEW, OLD])
  const detailed = await list(true)
  expect(detailed.map(({ entry }) => String(entry.name))).toEqual([OLD, NEW])
  expect(detailed.map(({ backupType }) => backupType)).toEqual(['full', 'delta'])
  expect(logged[0]).toEqual({ level: 'INFO', message: 'List backups from storages: [default]' })
  expect(warnings()).toEqual([])
})

test.each([false, true])(
  'a broken sentinel is listed as broken and named, with details: %p',
  async detail => {
    await putBackup(OLD, '2026-11-22T11:00:00Z')
    await put(`${NEW}_backup_stop_sentinel.json`, '{"LSN":67108904,"Fin')
    const backups = await list(detail)
    expect(backups.map(({ backupType }) => backupType)).toEqual(['full', 'broken'])
    expect(warnings()[0]).toContain(`${NEW}_backup_stop_sentinel.json`)
  },
)

test('without metadata.json the sentinel tells what it knows, which is not the permanence', async () => {
  await putBackup(OLD, '2026-11-22T11:00:00Z')
  await put(`${OLD}/metadata.json`, '{"start_time":')
  const [backup] = await list(true)
  expect(backup?.detail).toMatchObject({ hostname: 'here', isPermanent: null })
  expect(backup?.detail?.startTime?.seconds).toBe(1795345200)
  expect(warnings()[0]).toContain(`${OLD}/metadata.json`)
})

test('with one start time missing the order is that of the sentinels', async () => {
  await putBackup(NEW, '2026-11-22T12:00:00Z')
  await putBackup(OLD, '2026-11-22T11:00:00Z')
  await put('base_A_backup_stop_sentinel.json', '')
  const detailed = await list(true)
  expect(detailed.map(({ entry }) => String(entry.name))).toEqual([NEW, OLD, 'base_A'])
  expect(detailed[2]?.detail).toBeNull()
})

test('a storage that fails is an error, not a short list', async () => {
  await putBackup(OLD, '2026-11-22T11:00:00Z')
  await storage.close()
  await expect(list(false)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
})

test('many backups are all listed, in their order', async () => {
  const names = Array.from(
    { length: 100 },
    (_, number) => `base_0000000100000000000000${number.toString(16).toUpperCase().padStart(2, '0')}`,
  )
  for (const name of names) await putBackup(name, '2026-11-22T11:00:00Z')
  expect((await list(true)).map(({ entry }) => String(entry.name))).toEqual(names)
})
