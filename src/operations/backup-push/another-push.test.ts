import { describe, expect, test } from 'bun:test'
import { expectCode } from '../../../test/contract/storage-support.ts'
import { forwarded } from '../../../test/doubles/forwarded-storage.ts'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { collect, streamOf } from '../../kit/bytes.ts'
import { toLsn } from '../../postgres/lsn.ts'
import { toBackupName } from '../../repository/backup-name.ts'
import { metadataKey, partKey, sentinelKey } from '../../repository/layout.ts'
import { openMemoryDriver } from '../../storage/drivers/memory.ts'
import { withCopies } from '../../storage/layers/copies.ts'
import type { Storage } from '../../storage/storage.ts'
import { claimName, type Tentative, takingBackOnFailure } from './claim-name.ts'
import { commitBackup, type FinishedBackup } from './commit-backup.ts'
import { openNewObject } from './part/new-object.ts'
import { openPart, type StoredPart } from './part/part.ts'
import { remoteFilesMetadata, remoteManifest } from './remote/remote-record.ts'

const name = toBackupName('base_000000010000000000000002')
const PART = partKey(name, 'part_001.tar.lz4')
const OTHER = partKey(name, 'part_002.tar.lz4')
const SENTINEL = sentinelKey(name)

const memory = (title = 'default'): Storage => openMemoryDriver(title, crypto.randomUUID())

/** A storage like SFTP without hard links, or Swift. */
const withoutConditions = (storage: Storage): Storage => ({
  ...forwarded(storage),
  features: { ...storage.features, conditionalPut: false },
})

/** Does something before an operation on a key. */
function before(storage: Storage, operation: 'put' | 'list', key: string, act: () => Promise<void>): Storage {
  let isDone = false
  const once = async (given: string): Promise<void> => {
    if (given !== key || isDone) return
    isDone = true
    await act()
  }
  return {
    ...forwarded(storage),
    put: async (given, body, options) => {
      if (operation === 'put') await once(given)
      await storage.put(given, body, options)
    },
    async *list(given, options) {
      if (operation === 'list') await once(given)
      yield* storage.list(given, options)
    },
  }
}

const putText = (storage: Storage, key: string, text: string): Promise<void> =>
  storage.put(key, streamOf(new TextEncoder().encode(text)))

async function textOf(storage: Storage, key: string): Promise<string> {
  return new TextDecoder().decode(await collect(await storage.get(key), 1 << 20))
}

async function keysOf(storage: Storage): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of storage.list('', { recursive: true })) keys.push(key)
  return keys.sort()
}

async function contextOn(storage: Storage): Promise<TestContext> {
  using directory = tempDirectory('another-push')
  return { ...(await operationContext(directory.path)), storage }
}

/** Puts one part, as a push does. */
async function putPart(
  context: TestContext,
  { own }: Pick<Tentative, 'own'>,
  key = PART,
): Promise<StoredPart> {
  const part = await openPart({ ...context, own }, key)
  await part.packer.putStream(streamOf(new TextEncoder().encode(`mine, ${key}`)))
  return await part.end('bare')
}

async function commit(context: TestContext, tentative: Tentative, parts: StoredPart[]): Promise<void> {
  const moment = { seconds: 1_700_000_000, nanos: 0 } as unknown as FinishedBackup['startTime']
  const backup: FinishedBackup = {
    identity: { name, delta: null, walkedNs: 0n },
    startLsn: toLsn(1n),
    finishLsn: toLsn(2n),
    startTime: moment,
    versionNumber: 170_000,
    systemIdentifier: 1n,
    dataDirectory: '/data',
    catalogBytes: 0,
    spec: null,
    parts,
    uncompressedBytes: null,
    files: remoteFilesMetadata([], new Map(), false),
    manifest: remoteManifest(name, parts, []),
    assertParent: async () => {},
  }
  await commitBackup(
    context,
    { isPermanent: false, userData: null, hasFilesMetadata: true },
    backup,
    tentative,
  )
}

/** One push of one part; `meanwhile` happens between the part and the documents. */
function push(context: TestContext, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  return takingBackOnFailure(context, name, async tentative => {
    await claimName(context, name, { startsNow: true })
    const part = await putPart(context, tentative)
    await meanwhile()
    await commit(context, tentative, [part])
  })
}

describe('an object of a backup', () => {
  for (const [title, wrap] of [
    ['in one step with the put', (storage: Storage) => storage],
    ['by a look right before it', withoutConditions],
  ] as const) {
    test(`is not put over one that has appeared meanwhile: ${title}`, async () => {
      const storage = memory()
      const sink = await openNewObject(wrap(storage), PART)
      await sink.write(new Uint8Array(10))
      await putText(storage, PART, 'theirs')
      await expectCode(Promise.resolve(sink.end()), 'OBJECT_EXISTS')
      await sink.abort()
      expect(await textOf(storage, PART)).toBe('theirs')
    })

    test(`is not put into a backup that was completed meanwhile: ${title}`, async () => {
      const storage = memory()
      const sink = await openNewObject(wrap(storage), PART)
      await sink.write(new Uint8Array(10))
      await putText(storage, SENTINEL, '{}')
      const ended = Promise.resolve(sink.end())
      await expect(ended).rejects.toMatchObject({ hint: expect.stringContaining('WALG_PRIMARY_CONNINFO') })
      await expectCode(ended, 'BACKUP_EXISTS')
      await sink.abort()
      expect(await keysOf(storage)).toEqual([SENTINEL])
    })
  }
})

describe('a push that is alone', () => {
  const storages = {
    'a storage': () => memory(),
    'a storage without conditional puts': () => withoutConditions(memory()),
    'a storage with a mirror': () => withCopies([memory(), memory('mirror')]),
  }
  for (const [title, open] of Object.entries(storages)) {
    test(`succeeds on ${title}, after leftovers were removed and said`, async () => {
      const storage = open()
      await putText(storage, PART, 'left by a killed push')
      const context = await contextOn(storage)
      await push(context)
      expect(context.messages).toContain(
        `WARNING: Removing 1 objects of "${name}", left by a backup that was never completed`,
      )
      expect((await keysOf(storage)).filter(key => key === SENTINEL || key === PART)).toEqual([
        PART,
        SENTINEL,
      ])
    })

    test(`leaves nothing on ${title} when it fails`, async () => {
      const storage = open()
      const failing = push(await contextOn(storage), () => Promise.reject(new Error('stop')))
      await expect(failing).rejects.toThrow('stop')
      expect(await keysOf(storage)).toEqual([])
    })
  }
})

describe('two pushes of one name', () => {
  for (const wrap of [(storage: Storage) => storage, withoutConditions]) {
    test('a backup completed before the documents: nothing of it is replaced, and only its own part is taken back', async () => {
      const storage = memory()
      const context = await contextOn(wrap(storage))
      const meanwhile = async (): Promise<void> => {
        for (const key of [OTHER, metadataKey(name), SENTINEL]) await putText(storage, key, 'theirs')
      }
      await expectCode(push(context, meanwhile), 'BACKUP_EXISTS')
      expect(await keysOf(storage)).toEqual([metadataKey(name), OTHER, SENTINEL].sort())
      for (const key of await keysOf(storage)) expect(await textOf(storage, key)).toBe('theirs')
    })

    test('a sentinel that appears before the commit is not replaced', async () => {
      const storage = memory()
      const racing = before(storage, 'put', SENTINEL, () => putText(storage, SENTINEL, 'theirs'))
      const isConditional = wrap(storage).features.conditionalPut
      const seen = isConditional
        ? racing
        : // the last look is a stat: what comes after it is the window
          before(withoutConditions(storage), 'list', `basebackups_005/${name}`, () =>
            putText(storage, SENTINEL, 'theirs'),
          )
      const context = await contextOn(storage)
      const work = takingBackOnFailure({ ...context, storage: seen }, name, async given => {
        const part = await putPart({ ...context, storage: seen }, given)
        await commit({ ...context, storage: seen }, given, [part])
      })
      await expectCode(work, 'BACKUP_EXISTS')
      expect(await textOf(storage, SENTINEL)).toBe('theirs')
      expect(await keysOf(storage)).toEqual([SENTINEL])
    })
  }

  test('a part of another push that was put beside its own: no sentinel, and the other part stays', async () => {
    const storage = memory()
    const context = await contextOn(storage)
    const work = push(context, () => putText(storage, OTHER, 'theirs'))
    await expectCode(work, 'OBJECT_EXISTS')
    expect(await keysOf(storage)).toEqual([OTHER])
    expect(context.messages.join('\n')).toContain(`1 objects of "${name}" are left as they are`)
  })

  test('a part that was removed and put anew by another push is missed, and is left to it', async () => {
    const storage = memory()
    const context = await contextOn(storage)
    const theirs = async (): Promise<void> => {
      const { sizeBytes } = await storage.stat(PART)
      await storage.delete([PART])
      await putText(storage, PART, 'x'.repeat(sizeBytes))
    }
    await expectCode(push(context, theirs), 'INTEGRITY')
    expect(await textOf(storage, PART)).toMatch(/^x+$/)
  })

  test('a document that another push has replaced before the sentinel is missed', async () => {
    const storage = memory()
    const replaced = before(storage, 'list', `basebackups_005/${name}`, async () => {
      const text = await textOf(storage, metadataKey(name))
      await putText(storage, metadataKey(name), text.replace('data', 'atad'))
    })
    const context = await contextOn(storage)
    const work = takingBackOnFailure(context, name, async tentative => {
      const part = await putPart(context, tentative)
      await commit({ ...context, storage: replaced }, tentative, [part])
    })
    await expectCode(work, 'INTEGRITY')
    expect(await textOf(storage, metadataKey(name))).toContain('atad')
    expect(await keysOf(storage)).not.toContain(SENTINEL)
  })

  test('an object on the mirror alone is seen', async () => {
    const [first, mirror] = [memory(), memory('mirror')]
    const context = await contextOn(withCopies([first, mirror]))
    const work = push(context, () => putText(mirror, metadataKey(name), 'theirs'))
    await expectCode(work, 'OBJECT_EXISTS')
    expect(await keysOf(first)).toEqual([])
    expect(await textOf(mirror, metadataKey(name))).toBe('theirs')
  })
})

test('a standby whose restartpoint has not moved is told what to do', async () => {
  const storage = memory()
  await putText(storage, SENTINEL, '{}')
  const claim = claimName(await contextOn(storage), name, { startsNow: false })
  await expect(claim).rejects.toMatchObject({
    code: 'BACKUP_EXISTS',
    hint: expect.stringMatching(/CHECKPOINT on the primary.*restartpoint/),
  })
})
