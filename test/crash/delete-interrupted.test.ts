import { afterEach, describe, expect, test } from 'bun:test'
import { streamOf } from '../../src/kit/bytes.ts'
import { WalgError } from '../../src/kit/errors.ts'
import { silentLogger } from '../../src/kit/log.ts'
import { silentProgress } from '../../src/kit/progress.ts'
import { nowNs } from '../../src/kit/timestamp.ts'
import { type DeleteResult, deleteObjects } from '../../src/operations/delete/delete.ts'
import type { DeleteRequest } from '../../src/operations/delete/request.ts'
import { toBackupName } from '../../src/repository/backup-name.ts'
import { listBackups, readMetadata, readSentinel } from '../../src/repository/catalog.ts'
import { metadataKey, partKey, sentinelKey, walKey } from '../../src/repository/layout.ts'
import { dropMemory, openMemoryDriver } from '../../src/storage/drivers/memory.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { forwarded } from '../doubles/forwarded-storage.ts'

const ID = 'delete-interrupted'
const FULL = 'base_000000010000000000000002'
const DELTA = 'base_000000010000000000000004_D_000000010000000000000002'
const NEW_FULL = 'base_000000010000000000000006'
const SEGMENT_BYTES = 16 << 20

async function makeRepository(): Promise<Storage> {
  const storage = openMemoryDriver('default', ID)
  const put = (key: string, text: string): Promise<void> =>
    storage.put(key, streamOf(new TextEncoder().encode(text)))
  const link = `,"DeltaLSN":1,"DeltaFrom":"${FULL}","DeltaFullName":"${FULL}","DeltaCount":1`
  for (const [at, text] of [FULL, DELTA, NEW_FULL].entries()) {
    const name = toBackupName(text)
    const lsn = (at * 2 + 2) * SEGMENT_BYTES + 40
    await put(partKey(name, 'part_001.tar.lz4'), 'part')
    const times = `"start_time":"2026-01-0${at + 1}T00:00:00Z","finish_time":"2026-01-0${at + 1}T00:00:01Z"`
    await put(
      metadataKey(name),
      `{${times},"start_lsn":${lsn},"finish_lsn":${lsn + 100},"is_permanent":false}`,
    )
    await put(sentinelKey(name), `{"LSN":${lsn}${text === DELTA ? link : ''},"Version":2}`)
  }
  for (let segment = 2; segment <= 7; segment += 1) {
    await put(walKey(`00000001000000000000000${segment}`, 'lz4'), 'wal')
  }
  return storage
}

/** Objects go one by one, and after `steps` of them the process is gone. */
function dyingAfter(storage: Storage, steps: number): Storage {
  let left = steps
  return {
    ...forwarded(storage),
    async delete(keys) {
      for (const key of keys) {
        if (left === 0) throw new WalgError('STORAGE_UNAVAILABLE', 'killed')
        left -= 1
        await storage.delete([key])
      }
    },
  }
}

async function keysOf(storage: Storage): Promise<string[]> {
  const keys: string[] = []
  for await (const entry of storage.list('', { recursive: true })) keys.push(entry.key)
  return keys.sort()
}

function run(storage: Storage, request: DeleteRequest): Promise<DeleteResult> {
  const signal = new AbortController().signal
  return deleteObjects(
    { storage, log: silentLogger, progress: silentProgress, signal },
    {
      request,
      isConfirmed: true,
      segmentBytes: SEGMENT_BYTES,
      garbageMinAgeMs: 0,
      nowNs: nowNs(),
      isStartTimeUsed: false,
    },
  )
}

/** Every backup that is listed has its sentinel, metadata, part and base. */
async function checkListed(storage: Storage): Promise<void> {
  const names = (await listBackups(storage)).map(({ name }) => name)
  for (const name of names) {
    const { sentinel } = await readSentinel(storage, name)
    await readMetadata(storage, name)
    await storage.stat(partKey(name, 'part_001.tar.lz4'))
    if (sentinel.delta !== null) expect(names).toContain(sentinel.delta.parent)
  }
  expect(names).toContain(toBackupName(NEW_FULL))
}

const requests: readonly DeleteRequest[] = [
  { kind: 'retain', modifier: null, count: 1, after: null },
  { kind: 'target', isWholeChain: false, selection: { kind: 'name', name: FULL } },
]

describe('a delete that is killed after any object', () => {
  afterEach(() => dropMemory(ID))

  for (const request of requests) {
    test(`(${request.kind}) leaves nothing listed that lacks anything, and the next one finishes it`, async () => {
      const whole = await makeRepository()
      const { plan } = await run(whole, request)
      const expected = await keysOf(whole)
      const count = plan!.remove.length
      expect(count).toBeGreaterThan(5)
      for (let steps = 0; steps < count; steps += 1) {
        dropMemory(ID)
        const storage = await makeRepository()
        await expect(run(dyingAfter(storage, steps), request)).rejects.toThrow('killed')
        await checkListed(storage)
        const isStillThere = (await listBackups(storage)).some(({ name }) => name === FULL)
        const next: DeleteRequest =
          request.kind === 'target' && !isStillThere
            ? { kind: 'garbage', mode: 'backups', isWithoutBackupCheck: false }
            : request
        await run(storage, next)
        if (request.kind === 'target' && next.kind === 'target') {
          await run(storage, { kind: 'garbage', mode: 'backups', isWithoutBackupCheck: false })
        }
        expect(await keysOf(storage)).toEqual(expected)
        await checkListed(storage)
      }
    })
  }
})
