import { afterEach, expect, test } from 'bun:test'
import { streamOf } from '../../src/kit/bytes.ts'
import { WalgError } from '../../src/kit/errors.ts'
import { silentLogger } from '../../src/kit/log.ts'
import { silentProgress } from '../../src/kit/progress.ts'
import { nowNs } from '../../src/kit/timestamp.ts'
import { deleteObjects } from '../../src/operations/delete/delete.ts'
import { listBackups } from '../../src/repository/catalog.ts'
import { dropMemory, openMemoryDriver } from '../../src/storage/drivers/memory.ts'
import type { Storage } from '../../src/storage/storage.ts'

const ID = 'locked-objects'
const OLD = 'base_000000010000000000000002'
const NEW = 'base_000000010000000000000006'
const SEGMENT_BYTES = 16 << 20
afterEach(() => dropMemory(ID))

async function makeRepository(): Promise<Storage> {
  const storage = openMemoryDriver('default', ID)
  const put = (key: string, text: string): Promise<void> =>
    storage.put(key, streamOf(new TextEncoder().encode(text)))
  for (const [at, name] of [OLD, NEW].entries()) {
    const lsn = (at * 4 + 2) * SEGMENT_BYTES + 40
    const times = `"start_time":"2026-01-0${at + 1}T00:00:00Z","finish_time":"2026-01-0${at + 1}T00:00:01Z"`
    for (let part = 1; part <= 3; part += 1)
      await put(`basebackups_005/${name}/tar_partitions/part_00${part}.tar.lz4`, 'x')
    await put(
      `basebackups_005/${name}/metadata.json`,
      `{${times},"start_lsn":${lsn},"finish_lsn":${lsn + 100},"is_permanent":false}`,
    )
    await put(`basebackups_005/${name}_backup_stop_sentinel.json`, `{"LSN":${lsn},"Version":2}`)
  }
  return storage
}

/** A storage with object lock: a call with a locked key among its keys removes nothing and is refused. */
function withLocks(storage: Storage, isLocked: (key: string) => boolean): Storage {
  return {
    ...storage,
    checkRoot: options => storage.checkRoot(options),
    list: (prefix, options) => storage.list(prefix, options),
    get: (key, options) => storage.get(key, options),
    async delete(keys, options) {
      const locked = keys.find(isLocked)
      if (locked !== undefined) {
        throw new WalgError('ACCESS_DENIED', `"${locked}" is locked`, { facts: { key: locked } })
      }
      await storage.delete(keys, options)
    },
  }
}

function retainOne(storage: Storage): Promise<unknown> {
  return deleteObjects(
    { storage, log: silentLogger, progress: silentProgress, signal: new AbortController().signal },
    {
      request: { kind: 'retain', modifier: null, count: 1, after: null },
      isConfirmed: true,
      segmentBytes: SEGMENT_BYTES,
      garbageMinAgeMs: 0,
      nowNs: nowNs(),
      isStartTimeUsed: false,
    },
  )
}

async function keysOf(storage: Storage): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of storage.list('', { recursive: true })) keys.push(key)
  return keys.filter(key => key.includes(OLD)).sort()
}

test('locked parts are counted and named, everything else goes, and the next delete finishes it', async () => {
  const storage = await makeRepository()
  const locked = withLocks(storage, key => key.includes(OLD) && key.endsWith('part_002.tar.lz4'))
  await expect(retainOne(locked)).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
    message: expect.stringMatching(/^1 of 5 objects could not be deleted, the first is .*part_002\.tar\.lz4/),
  })
  expect(await keysOf(storage)).toEqual([`basebackups_005/${OLD}/tar_partitions/part_002.tar.lz4`])
  expect((await listBackups(storage)).map(({ name }) => String(name))).toEqual([NEW])
  await retainOne(storage)
  await deleteObjects(
    { storage, log: silentLogger, progress: silentProgress, signal: new AbortController().signal },
    {
      request: { kind: 'garbage', mode: 'all', isWithoutBackupCheck: false },
      isConfirmed: true,
      segmentBytes: SEGMENT_BYTES,
      garbageMinAgeMs: 0,
      nowNs: nowNs(),
      isStartTimeUsed: false,
    },
  )
  expect(await keysOf(storage)).toEqual([])
})

test('a locked sentinel ends it: nothing of a backup that is still listed is touched', async () => {
  const storage = await makeRepository()
  const before = await keysOf(storage)
  const locked = withLocks(storage, key => key.includes(`${OLD}_backup_stop_sentinel`))
  await expect(retainOne(locked)).rejects.toMatchObject({ code: 'ACCESS_DENIED' })
  expect(await keysOf(storage)).toEqual(before)
})
