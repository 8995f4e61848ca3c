import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { forwarded } from '../../../../test/doubles/forwarded-storage.ts'
import { operationContext, type TestContext } from '../../../../test/support/operation-context.ts'
import { PushRig } from '../../../../test/support/push-rig.ts'
import { segmentName, walBytes } from '../../../../test/support/wal-bytes.ts'
import { streamOf } from '../../../kit/bytes.ts'
import { type ErrorCode, WalgError } from '../../../kit/errors.ts'
import type { Storage } from '../../../storage/storage.ts'
import type { WalPushOptions } from '../wal-push.ts'

const first = segmentName(1)
const second = segmentName(2)
const HISTORY = '00000002.history'

let rig: PushRig
let wal: string
let root: string
let seeing: TestContext

beforeEach(async () => {
  rig = await PushRig.open()
  wal = rig.wal
  root = rig.root
  seeing = rig.context
})
afterEach(() => rig.close())

/** Every look fails with that code; puts do what they always do. */
function refusingLooks(code: ErrorCode): (storage: Storage) => Storage {
  const refuse = (): never => {
    throw new WalgError(code, 'no permission to look', { hint: 'ask for it' })
  }
  return storage => ({
    ...forwarded(storage),
    checkRoot: async () => refuse(),
    list: refuse,
    stat: async () => refuse(),
    get: async () => refuse(),
    openSource: refuse,
  })
}

/** As network storages do: that a key is taken is said when the whole object has been sent. */
function tellingAtTheEnd(storage: Storage): Storage {
  return {
    ...storage,
    features: { ...storage.features, synchronous: false },
    openSink(key, options) {
      const chunks: Uint8Array[] = []
      return {
        write: bytes => void chunks.push(bytes.slice()),
        abort: () => {},
        end: () => storage.put(key, streamOf(Buffer.concat(chunks)), options),
      }
    },
  }
}

/** As credentials are that may only write. */
const blind = (code: ErrorCode = 'ACCESS_DENIED'): Promise<TestContext> =>
  operationContext(root, { wrap: refusingLooks(code) })

function write(name: string, content: Uint8Array | string = walBytes(name), isReady = false): string {
  if (isReady) rig.markReady(name)
  return rig.write(name, content)
}

const push = (given: TestContext, path: string, options: Partial<WalPushOptions> = {}) =>
  rig.push(path, { preventOverwrite: false, ...options }, given)

const objects = (): string[] => rig.objects()
const warnings = ({ messages }: TestContext): string[] =>
  messages.filter(message => message.startsWith('WARNING'))
const archived = async (name: string): Promise<Buffer> => Buffer.from(await rig.archived(name, seeing))

describe('a push into a storage that denies looking', () => {
  test('goes on with the guard switched off, with one warning that says what was not checked', async () => {
    const given = await blind()
    expect(await push(given, write(first))).toMatchObject({ kind: 'stored' })
    expect(await archived(first)).toEqual(Buffer.from(walBytes(first)))
    expect(warnings(given)).toEqual([
      'WARNING: storage "default" denies looking into the archive (no permission to look); WALG_PREVENT_WAL_OVERWRITE=false lets the push go on. Not checked: whose archive this is; whether older forms of a file are there, which a fetch may deliver; whether files pushed in the background are still there',
    ])
  })

  test('fails with the guard on, and says how to archive without looking and what that costs', async () => {
    const pushed = push(await blind(), write(first), { preventOverwrite: true })
    const failure = await pushed.then(undefined, (error: WalgError) => error)
    expect(failure).toMatchObject({ code: 'ACCESS_DENIED', message: 'no permission to look' })
    expect((failure as WalgError).hint).toStartWith('ask for it; the overwrite guard must list and read')
    expect((failure as WalgError).hint).toContain('WALG_PREVENT_WAL_OVERWRITE=false archives without looking')
    expect((failure as WalgError).hint).toContain('replaces')
    expect(objects()).toEqual([])
    const known = write(HISTORY, '1\t0/3000000\tno reason\n')
    await expect(push(await blind(), known, { preventOverwrite: true })).rejects.toMatchObject({
      hint: expect.stringContaining('WALG_PREVENT_WAL_OVERWRITE=false'),
    })
  })

  test('fails for every other reason, guard or not', async () => {
    for (const code of ['STORAGE_UNAVAILABLE', 'TIMEOUT', 'FILE_ACCESS', 'STORAGE_ROOT_MISSING'] as const) {
      await expect(push(await blind(code), write(first))).rejects.toMatchObject({ code })
    }
    expect(objects()).toEqual([])
  })

  test('fails where the cluster must be proved to be that of the archive', async () => {
    const options = { requireSystemIdentifier: true }
    await expect(push(await blind(), write(first), options)).rejects.toMatchObject({ code: 'ACCESS_DENIED' })
    expect(objects()).toEqual([])
  })

  test('notes nothing about an archive that it has not seen', async () => {
    await push(await blind(), write(first))
    expect(existsSync(join(wal, 'walg_data/walg_archive_identity'))).toBe(false)
  })

  test('is not acknowledged when putting is denied, too', async () => {
    const deny = (): never => {
      throw new WalgError('ACCESS_DENIED', 'no permission to put')
    }
    const given = await operationContext(root, {
      wrap: storage => ({ ...refusingLooks('ACCESS_DENIED')(storage), openSink: deny }),
    })
    await expect(push(given, write(first))).rejects.toThrow('no permission to put')
    await expect(push(given, write(HISTORY, 'x'))).rejects.toThrow('no permission to put')
  })
})

describe('files pushed in the background into a storage that denies looking', () => {
  test('are not pushed at all: nobody could acknowledge them unseen', async () => {
    for (const name of [first, second]) write(name, walBytes(name), true)
    expect(await push(await blind(), join(wal, first))).toMatchObject({ pushedInBackground: 0 })
    expect(objects()).toEqual([`${first}.lz4`])
  })

  test('are, when they are marked as done by the push itself', async () => {
    for (const name of [first, second]) write(name, walBytes(name), true)
    const pushed = await push(await blind(), join(wal, first), { readyRename: true })
    expect(pushed).toMatchObject({ pushedInBackground: 1 })
    expect(objects()).toEqual([`${first}.lz4`, `${second}.lz4`])
  })

  test('are put again when looking is denied afterwards', async () => {
    for (const name of [first, second]) write(name, walBytes(name), true)
    await push(seeing, join(wal, first))
    writeFileSync(join(root, 'wal_005', `${second}.lz4`), 'lost meanwhile')
    expect(await push(await blind(), join(wal, second))).toMatchObject({ kind: 'stored' })
    expect(await archived(second)).toEqual(Buffer.from(walBytes(second)))
  })

  test('are acknowledged where only what is absent is denied', async () => {
    for (const name of [first, second]) write(name, walBytes(name), true)
    const given = await operationContext(root, {
      wrap: storage => ({
        ...forwarded(storage),
        stat: (key, options) =>
          storage.stat(key, options).catch(() => Promise.reject(new WalgError('ACCESS_DENIED', 'hidden'))),
      }),
    })
    expect(await push(given, join(wal, first))).toMatchObject({ pushedInBackground: 1 })
    expect(await push(given, join(wal, second))).toMatchObject({ kind: 'pushed-before' })
  })
})

describe('a history in a storage that denies looking', () => {
  test('is guarded by the put: another one of its name is never replaced, whatever was tried before', async () => {
    await push(seeing, write(HISTORY, 'theirs'))
    await seeing.storage.close()
    writeFileSync(join(wal, HISTORY), 'ours')
    const given = await operationContext(root, {
      wrap: storage => tellingAtTheEnd(refusingLooks('ACCESS_DENIED')(storage)),
    })
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(push(given, join(wal, HISTORY))).rejects.toMatchObject({
        code: 'WAL_OVERWRITE',
        message: expect.stringContaining('may not read it to compare'),
      })
    }
    seeing = await operationContext(root)
    expect(String(await archived(HISTORY))).toBe('theirs')
  })

  test('is put again where this host has noted that it put the same content there', async () => {
    const given = await blind()
    const path = write(HISTORY, '1\t0/3000000\tno reason\n')
    expect(await push(given, path)).toMatchObject({ kind: 'stored' })
    expect(await push(given, path)).toMatchObject({ kind: 'stored' })
    writeFileSync(path, 'another')
    await expect(push(given, path)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
  })

  test('is refused where no put is conditional', async () => {
    const given = await operationContext(root, {
      wrap: storage => ({
        ...refusingLooks('ACCESS_DENIED')(storage),
        features: { ...storage.features, conditionalPut: false },
      }),
    })
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(push(given, write(HISTORY, 'x'))).rejects.toThrow('knows no put that is refused')
    }
    expect(objects()).toEqual([])
  })

  test('that another push puts meanwhile is not replaced where it may not be read', async () => {
    let isThere = false
    const given = await operationContext(root, {
      wrap: storage => ({
        ...forwarded(storage),
        stat: (key, options) =>
          isThere ? Promise.reject(new WalgError('ACCESS_DENIED', 'hidden')) : storage.stat(key, options),
        async openSink(key, options) {
          if (!isThere) await storage.put(key, (async function* () {})(), {})
          isThere = true
          return await storage.openSink(key, options)
        },
      }),
    })
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(push(given, write(HISTORY, 'ours'))).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
    }
  })
})
