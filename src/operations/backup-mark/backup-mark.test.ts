import { afterEach, describe, expect, test } from 'bun:test'
import { collect, streamOf } from '../../kit/bytes.ts'
import { silentLogger } from '../../kit/log.ts'
import { toBackupName } from '../../repository/backup-name.ts'
import { metadataKey, sentinelKey } from '../../repository/layout.ts'
import { dropMemory, openMemoryDriver } from '../../storage/drivers/memory.ts'
import type { Storage } from '../../storage/storage.ts'
import { backupMark } from './backup-mark.ts'

const FULL = 'base_000000010000000000000002'
const DELTA = 'base_000000010000000000000004_D_000000010000000000000002'
const REST = `"start_time":"2026-11-22T11:00:00Z","finish_time":"2026-11-22T11:00:01Z","start_lsn":33554472,"finish_lsn":33554500`

function metadataText(isPermanent: boolean): string {
  return `{ ${REST}, "later_key" : {"a":[1, 2]},\n"is_permanent": ${isPermanent} ,"user_data":{"id":12345678901234567890}}`
}

async function repository(): Promise<Storage> {
  const storage = openMemoryDriver('default', 'backup-mark')
  const put = (key: string, text: string): Promise<void> =>
    storage.put(key, streamOf(new TextEncoder().encode(text)))
  const link = `,"DeltaLSN":1,"DeltaFrom":"${FULL}","DeltaFullName":"${FULL}","DeltaCount":1`
  for (const [name, more] of [
    [FULL, ''],
    [DELTA, link],
  ] as const) {
    await put(sentinelKey(toBackupName(name)), `{"LSN":33554472${more},"Version":2}`)
    await put(metadataKey(toBackupName(name)), metadataText(false))
  }
  return storage
}

async function textOf(storage: Storage, name: string): Promise<string> {
  const body = await storage.get(metadataKey(toBackupName(name)))
  return new TextDecoder().decode(await collect(body, 1 << 20))
}

const options = { name: DELTA, permanence: 'permanent', userData: null, place: '/repository' } as const

describe('backup-mark', () => {
  afterEach(() => dropMemory('backup-mark'))
  const contextOf = (storage: Storage) => ({
    storage,
    log: silentLogger,
    signal: new AbortController().signal,
  })

  test('marks the delta and its full, and leaves every other byte of the metadata as it was', async () => {
    const storage = await repository()
    expect(await backupMark(contextOf(storage), options)).toEqual([toBackupName(FULL), toBackupName(DELTA)])
    expect(await textOf(storage, FULL)).toBe(metadataText(true))
    expect(await textOf(storage, DELTA)).toBe(metadataText(true))
  })

  test('refuses to take the mark off a full while a permanent delta hangs on it', async () => {
    const storage = await repository()
    await backupMark(contextOf(storage), options)
    const unmark = backupMark(contextOf(storage), { ...options, name: FULL, permanence: 'impermanent' })
    await expect(unmark).rejects.toThrow("Can't mark backup")
    await backupMark(contextOf(storage), { ...options, permanence: 'impermanent' })
    await backupMark(contextOf(storage), { ...options, name: FULL, permanence: 'impermanent' })
    expect(await textOf(storage, FULL)).toBe(metadataText(false))
  })

  test('replaces user data without touching the mark', async () => {
    const storage = await repository()
    const userData = '{"n":98765432109876543210}'
    await backupMark(contextOf(storage), { ...options, permanence: null, userData })
    expect(await textOf(storage, DELTA)).toBe(
      metadataText(false).replace('{"id":12345678901234567890}', userData),
    )
  })
})
