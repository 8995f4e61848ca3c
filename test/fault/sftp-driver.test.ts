import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { openSftpDriver, type SftpDriverOptions } from '../../src/storage/drivers/sftp/driver.ts'
import { temporarySuffix } from '../../src/storage/keys.ts'
import { withStallLimit } from '../../src/storage/layers/stall.ts'
import type { Storage } from '../../src/storage/storage.ts'
import {
  allKeys,
  expectCode,
  getBytes,
  lentStream,
  listAll,
  patternBytes,
  putText,
} from '../contract/storage-support.ts'
import { startWire, type Wire } from '../doubles/wire.ts'
import {
  missingOtherUser,
  missingPrivateMounts,
  missingSshd,
  type SftpServer,
  startSftpServer,
} from '../support/servers/sftp-server.ts'
import { describeUnless, testUnless } from '../support/skip.ts'

const MIB = 1 << 20
const QUICK = { delayMs: 10, delayMsMax: 100 }

interface Scene extends AsyncDisposable {
  readonly wire: Wire
  readonly root: string
  readonly storage: Storage
}

describeUnless(missingSshd(), 'SFTP over a line that breaks', () => {
  let server: SftpServer
  beforeAll(async () => {
    server = await startSftpServer()
  })
  afterAll(() => server.stop())

  async function openScene(options: SftpDriverOptions = { retry: QUICK }): Promise<Scene> {
    const wire = await startWire(server.port)
    const root = server.newRoot()
    const storage = await openSftpDriver('remote', { ...server.describe(root), port: wire.port }, options)
    return {
      wire,
      root,
      storage,
      async [Symbol.asyncDispose]() {
        await storage.close()
        await wire[Symbol.asyncDispose]()
      },
    }
  }

  /** Every file below the root, temporaries included. */
  const filesOf = (root: string): string[] =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => entry.name)

  test('a put goes on in the next connection, and its object is whole', async () => {
    await using scene = await openScene()
    const content = patternBytes(12 * MIB + 7)
    scene.wire.cutAfterSent(3 * MIB, 2 * MIB, 100_000, 4 * MIB, 5 * MIB)
    scene.wire.cut()
    await scene.storage.put('a/object', lentStream(content, 300_000))
    expect(scene.wire.connections).toBeGreaterThan(4)
    expect(readFileSync(`${scene.root}/a/object`).equals(content)).toBe(true)
    expect(filesOf(scene.root)).toEqual(['object'])
  })

  test('a get goes on in the next connection', async () => {
    await using scene = await openScene()
    const content = patternBytes(12 * MIB + 7)
    await scene.storage.put('object', lentStream(content, MIB))
    scene.wire.cutAfterReceived(3 * MIB, 2 * MIB, 20_000, 1 * MIB)
    scene.wire.cut()
    expect(Buffer.from(await getBytes(scene.storage, 'object')).equals(content)).toBe(true)
    expect(scene.wire.connections).toBeGreaterThan(4)
  })

  test('a get whose line breaks again and again says so, and not that the object has changed', async () => {
    await using scene = await openScene()
    await scene.storage.put('object', lentStream(patternBytes(12 * MIB), MIB))
    scene.wire.cutAfterReceived(...new Array<number>(40).fill(400_000))
    scene.wire.cut()
    const failure = await expectCode(getBytes(scene.storage, 'object'), 'STORAGE_UNAVAILABLE')
    expect(failure.message).toMatch(/unable to read object "object" .* was lost 16 times$/)
  })

  test('an object that was replaced while the line was down is not continued with the new content', async () => {
    await using scene = await openScene()
    await scene.storage.put('object', lentStream(patternBytes(9 * MIB), MIB))
    const source = await scene.storage.openSource('object')
    const into = new Uint8Array(MIB)
    await source.read(into)
    writeFileSync(`${scene.root}/object`, patternBytes(9 * MIB, 2))
    utimesSync(`${scene.root}/object`, new Date(), new Date(Date.now() + 5000))
    scene.wire.cut()
    const rest = async (): Promise<void> => {
      while ((await source.read(into)) > 0);
    }
    await expectCode(rest(), 'FORMAT_TRUNCATED')
    await source.close()
  })

  test('a rename whose answer was lost has happened: no second object, no error', async () => {
    await using scene = await openScene()
    for (const ifAbsent of [false, true]) {
      const key = `object-${ifAbsent}`
      const sink = await scene.storage.openSink(key, { ifAbsent })
      await sink.write(patternBytes(100_000))
      scene.wire.delayAnswers(60)
      const ended = Promise.resolve(sink.end())
      while (!existsSync(`${scene.root}/${key}`)) await Bun.sleep(1)
      scene.wire.cut()
      scene.wire.delayAnswers(0)
      await ended
    }
    expect(await allKeys(scene.storage)).toEqual(['object-false', 'object-true'])
    expect(filesOf(scene.root)).toHaveLength(2)
  })

  test('everything else is asked again', async () => {
    await using scene = await openScene()
    await putText(scene.storage, 'a/one', '1')
    const works: (() => Promise<unknown>)[] = [
      () => scene.storage.checkRoot(),
      () => scene.storage.stat('a/one'),
      () => allKeys(scene.storage),
      () => scene.storage.copy('a/one', 'a/two'),
      () => scene.storage.delete(['a/one']),
    ]
    for (const work of works) {
      scene.wire.cut()
      await work()
    }
    expect(await allKeys(scene.storage)).toEqual(['a/two'])
  })

  test('a server that restarts in the middle of a put is waited for', async () => {
    // as long as a loaded machine may take to start one
    await using scene = await openScene({ retry: { ...QUICK, attemptsMax: 300 } })
    const content = patternBytes(5 * MIB)
    async function* body(): AsyncGenerator<Uint8Array> {
      yield content.subarray(0, 3 * MIB)
      await server.stop()
      setTimeout(() => void server.start(), 300)
      yield content.subarray(3 * MIB)
    }
    await scene.storage.put('object', body())
    expect(statSync(`${scene.root}/object`).size).toBe(content.length)
  })

  test('a server that stays away ends the work, with the host and a hint', async () => {
    await using scene = await openScene({ retry: { ...QUICK, attemptsMax: 3 } })
    scene.wire.refuse(true)
    scene.wire.cut()
    const error = await expectCode(scene.storage.stat('object'), 'STORAGE_UNAVAILABLE')
    expect(error.message).toContain('"127.0.0.1"')
    expect(error.hint).toContain('WALG_SSH_PREFIX')
    const put = scene.storage.put('object', lentStream(patternBytes(MIB), 1000))
    await expectCode(put, 'STORAGE_UNAVAILABLE')
  })

  test('a line on which nothing moves is no reason to wait for ever', async () => {
    await using scene = await openScene()
    const storage = withStallLimit(scene.storage, { timeoutMs: 400 })
    await putText(storage, 'object', 'x')
    scene.wire.stall()
    await expectCode(storage.stat('object'), 'TIMEOUT')
    await expectCode(storage.get('object'), 'TIMEOUT')
  })

  testUnless(
    missingPrivateMounts(),
    'a full disk is called that, and what was written is freed',
    async () => {
      const small = await startSftpServer({ diskBytes: 8 * MIB })
      const storage = await openSftpDriver('remote', small.describe(small.newRoot()))
      try {
        const put = storage.put('large', lentStream(patternBytes(16 * MIB), MIB))
        const error = await expectCode(put, 'DISK_FULL')
        expect(error.hint).toContain('free some space')
        await storage.put('fits', lentStream(patternBytes(6 * MIB), MIB))
        expect(await allKeys(storage)).toEqual(['fits'])
      } finally {
        await storage.close()
        await small.stop()
      }
    },
  )

  testUnless(missingOtherUser(), 'a normal user is told what he may not do', async () => {
    const other = await startSftpServer({ username: 'postgres' })
    const root = other.newRoot()
    const storage = await openSftpDriver('remote', other.describe(root))
    try {
      await putText(storage, 'open/object', 'x')
      chownSync(`${root}/open`, 0, 0)
      for (const work of [putText(storage, 'open/other', 'x'), storage.delete(['open/object'])]) {
        const error = await expectCode(work, 'ACCESS_DENIED')
        expect(error.hint).toContain('SSH_USERNAME')
      }
      chmodSync(`${root}/open`, 0o700)
      await expectCode(allKeys(storage), 'ACCESS_DENIED')
      await expectCode(storage.stat('open/object'), 'ACCESS_DENIED')
    } finally {
      await storage.close()
      await other.stop()
    }
  })

  test('a link that leads nowhere, as to a disk that is not mounted, is no absence', async () => {
    await using scene = await openScene()
    const { storage } = scene
    symlinkSync(`${scene.root}/../disk`, `${scene.root}/wal_005`)
    await expectCode(storage.stat('wal_005/x'), 'STORAGE_UNAVAILABLE')
    await expectCode(getBytes(storage, 'wal_005/x'), 'STORAGE_UNAVAILABLE')
    await expectCode(listAll(storage, 'wal_005', true), 'STORAGE_UNAVAILABLE')
    await expectCode(storage.delete(['wal_005/x']), 'STORAGE_UNAVAILABLE')
    await expectCode(storage.stat('elsewhere/x'), 'OBJECT_NOT_FOUND')
  })

  test('what a crash left is hidden, and swept a day later', async () => {
    await using scene = await openScene({ retry: QUICK, sweepOneIn: 1 })
    const dayAgoMs = Date.now() - 25 * 60 * 60 * 1000
    const stale = `${scene.root}/object${temporarySuffix(dayAgoMs)}`
    const young = `${scene.root}/object${temporarySuffix()}`
    for (const file of [stale, young]) writeFileSync(file, 'x')
    utimesSync(stale, new Date(dayAgoMs), new Date(dayAgoMs))
    expect(await allKeys(scene.storage)).toEqual([])
    await putText(scene.storage, 'object', 'x')
    expect([existsSync(stale), existsSync(young)]).toEqual([false, true])
  })
})
