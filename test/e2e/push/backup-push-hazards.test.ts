import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { hasCode } from '../../../src/kit/errors.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import type { OperationContext } from '../../../src/operations/context.ts'
import { openStorage } from '../../../src/storage/open-storage.ts'
import type { FileFault } from '../../doubles/instrumented-files.ts'
import { startCluster, startRestored } from '../../support/cluster.ts'
import { operationContext, type TestContext } from '../../support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg } from '../../support/walg.ts'
import { listedBackups, pushOptions, readJson, storedObjects, unpackWithTar } from './backup-push-support.ts'

setDefaultTimeout(60_000)

const MAJOR = 16
let original: TempDirectory

beforeAll(async () => {
  original = tempDirectory('original')
  await using cluster = await startCluster({ major: MAJOR })
  await cluster.query('create table t as select g from generate_series(1, 1000) g')
  await cluster.stop()
  const copy = spawnSync('cp', ['-a', cluster.dataDirectory, original.at('data')])
  expect(copy.status).toBe(0)
}, 60_000)
afterAll(() => original.remove())

/** A data directory of its own at rest, an empty repository and a context. */
interface Scene extends Disposable {
  readonly data: string
  readonly repository: string
  readonly place: TempDirectory
  readonly context: TestContext
}

async function createScene(): Promise<Scene> {
  const place = tempDirectory('scene')
  expect(spawnSync('cp', ['-a', original.at('data'), place.at('data')]).status).toBe(0)
  mkdirSync(place.at('repository'))
  chmodSync(place.at('repository'), 0o777)
  const context = await operationContext(place.at('repository'))
  const data = place.at('data')
  return { data, repository: place.at('repository'), place, context, [Symbol.dispose]: () => place.remove() }
}

async function failure(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error('it succeeded'),
    error => error as Error,
  )
}

function restore(scene: Scene, backup: string): string {
  const target = scene.place.at('restored')
  unpackWithTar(scene.repository, backup, target)
  return target
}

describe('backup-push and odd data directories', () => {
  test("one that does not exist, a file, and one that is not PostgreSQL's are refused with a hint", async () => {
    using scene = await createScene()
    mkdirSync(scene.place.at('other'))
    for (const given of ['nowhere', 'data/PG_VERSION', 'other']) {
      const error = await failure(backupPush(scene.context, pushOptions(scene.place.at(given))))
      expect(hasCode(error, 'FILE_NOT_FOUND', 'FILE_ACCESS')).toBe(true)
      expect((error as { hint?: string }).hint).toContain('data_directory')
      expect(error.message).toContain(scene.place.at(given))
    }
    expect(storedObjects(scene.repository)).toEqual([])
  })

  test('one without pg_control, or with a damaged one, is refused before anything is sent', async () => {
    using scene = await createScene()
    const control = path.join(scene.data, 'global/pg_control')
    const bytes = readFileSync(control)
    bytes[40]! ^= 1
    writeFileSync(control, bytes)
    const damaged = await failure(backupPush(scene.context, pushOptions(scene.data)))
    expect(hasCode(damaged, 'CHECKSUM_MISMATCH')).toBe(true)
    rmSync(control)
    const missing = await failure(backupPush(scene.context, pushOptions(scene.data)))
    expect(hasCode(missing, 'FILE_NOT_FOUND')).toBe(true)
    expect(storedObjects(scene.repository)).toEqual([])
  })

  test('an unreadable file is named, and nothing is sent', async () => {
    using scene = await createScene()
    writeFileSync(path.join(scene.data, 'secret.conf'), 'x', { mode: 0o000 })
    chmodSync(scene.repository, 0o777)
    const run = await runWalg(['backup-push', scene.data], {
      env: { WALG_FILE_PREFIX: scene.repository },
      asClusterUser: true,
    })
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('secret.conf')
    expect(storedObjects(scene.repository)).toEqual([])
  })

  test('sockets, FIFOs and foreign links do not stop it, and are said', async () => {
    using scene = await createScene()
    expect(spawnSync('mkfifo', [path.join(scene.data, 'pipe')]).status).toBe(0)
    const server = createServer()
    await new Promise<void>(resolve => server.listen(path.join(scene.data, 'socket'), resolve))
    symlinkSync('/etc', path.join(scene.data, 'link-to-etc'))
    const { name } = await backupPush(scene.context, pushOptions(scene.data))
    server.close()
    const warnings = scene.context.messages.filter(message => message.startsWith('WARNING'))
    for (const word of ['pipe', 'socket', 'link-to-etc']) {
      expect(warnings.some(message => message.includes(word))).toBe(true)
    }
    const target = restore(scene, name)
    for (const word of ['pipe', 'socket', 'link-to-etc'])
      expect(existsSync(path.join(target, word))).toBe(false)
  })

  test('a symlinked pg_wal and a symlinked configuration file: the restored server starts with both', async () => {
    using scene = await createScene()
    const elsewhere = scene.place.at('elsewhere')
    mkdirSync(elsewhere)
    for (const name of ['pg_wal', 'postgresql.auto.conf']) {
      const from = path.join(scene.data, name)
      expect(spawnSync('cp', ['-a', from, path.join(elsewhere, name)]).status).toBe(0)
      rmSync(from, { recursive: true })
      symlinkSync(path.join(elsewhere, name), from)
    }
    const { name } = await backupPush(scene.context, pushOptions(scene.data))
    const target = restore(scene, name)
    expect(readFileSync(path.join(target, 'postgresql.auto.conf'), 'utf8')).toBe(
      readFileSync(path.join(elsewhere, 'postgresql.auto.conf'), 'utf8'),
    )
    await using restored = await startRestored(target, { major: MAJOR, signal: 'none' })
    expect(await restored.query('select count(*)::int as n from t')).toEqual([{ n: 1000 }])
  }, 60_000)

  test('names with spaces, UTF-8, newlines and 200 characters come back exactly', async () => {
    using scene = await createScene()
    const names = ['with space', 'таблица', 'new\nline', 'x'.repeat(200), '"quoted"\\', '\u2028']
    for (const [number, name] of names.entries())
      writeFileSync(path.join(scene.data, name), `content ${number}`)
    const { name } = await backupPush(scene.context, pushOptions(scene.data))
    const files = readJson(scene.repository, name, 'files_metadata.json')['Files'] as Record<string, unknown>
    const target = restore(scene, name)
    for (const [number, each] of names.entries()) {
      expect(files[`/${each}`]).toBeDefined()
      expect(readFileSync(path.join(target, each), 'utf8')).toBe(`content ${number}`)
    }
  })

  test('a name that is not UTF-8 is refused before anything is sent', async () => {
    using scene = await createScene()
    writeFileSync(Buffer.concat([Buffer.from(`${scene.data}/bad`), Buffer.from([0xff, 0xfe])]), 'x')
    const error = await failure(backupPush(scene.context, pushOptions(scene.data)))
    expect(hasCode(error, 'FORMAT_INVALID')).toBe(true)
    expect(storedObjects(scene.repository)).toEqual([])
  })
})

describe('backup-push and names in the repository', () => {
  test('leftovers of a push that was never completed are removed and said', async () => {
    using scene = await createScene()
    const { name } = await backupPush(scene.context, pushOptions(scene.data))
    const sentinel = path.join(scene.repository, 'basebackups_005', `${name}_backup_stop_sentinel.json`)
    const parts = path.join(scene.repository, 'basebackups_005', name, 'tar_partitions')
    rmSync(sentinel)
    writeFileSync(path.join(parts, 'part_777.tar.lz4'), 'garbage')
    await backupPush(scene.context, pushOptions(scene.data))
    expect(existsSync(path.join(parts, 'part_777.tar.lz4'))).toBe(false)
    expect(scene.context.messages.some(message => /^WARNING: Removing \d+ objects/.test(message))).toBe(true)
    expect(listedBackups(scene.repository)).toEqual([name])
  })

  test('user data are kept to the last digit, and the permanent flag in both documents', async () => {
    using scene = await createScene()
    const userData = '{"id": 12345678901234567890, "text": "a<b>&\\u2028", "list": [1.10, 1e400]}'
    const { name } = await backupPush(scene.context, pushOptions(scene.data, { userData, isPermanent: true }))
    const folder = path.join(scene.repository, 'basebackups_005')
    for (const file of [`${name}_backup_stop_sentinel.json`, `${name}/metadata.json`]) {
      const text = readFileSync(path.join(folder, file), 'utf8')
      expect(text).toContain('12345678901234567890')
      expect(text).toContain('1e400')
    }
    expect(readJson(scene.repository, name, 'sentinel')['IsPermanent']).toBe(true)
    expect(readJson(scene.repository, name, 'metadata.json')['is_permanent']).toBe(true)
  })

  test('without files metadata there is none, and the sentinel says so', async () => {
    using scene = await createScene()
    const { name } = await backupPush(scene.context, pushOptions(scene.data, { hasFilesMetadata: false }))
    expect(storedObjects(scene.repository)).not.toContain(`${name}/files_metadata.json`)
    expect(readJson(scene.repository, name, 'sentinel')['FilesMetadataDisabled']).toBe(true)
  })
})

describe('two pushes under one name', () => {
  test('of one directory on one host: the second is refused, the first succeeds', async () => {
    using scene = await createScene()
    const work = backupPush(scene.context, pushOptions(scene.data, { diskBytesPerSecond: 8 << 20 }))
    await untilTrue(
      () => scene.context.messages.some(each => each.includes('Starting part 2')),
      30_000,
      'packing',
    )
    const second = await operationContext(scene.repository)
    const error = await failure(backupPush(second, pushOptions(scene.data)))
    expect(hasCode(error, 'CLUSTER_STATE')).toBe(true)
    const { name } = await work
    restore(scene, name)
  }, 60_000)

  test('parts that somebody else takes away while the push runs are missed before it ends', async () => {
    using scene = await createScene()
    const part = path.join(scene.repository, 'basebackups_005')
    const work = failure(
      backupPush(
        scene.context,
        pushOptions(scene.data, { diskBytesPerSecond: 8 << 20, partBytesMax: 2_000_000 }),
      ),
    )
    await untilTrue(
      () => storedObjects(scene.repository).some(each => each.endsWith('.tar.lz4')),
      30_000,
      'a part',
    )
    const victim = storedObjects(scene.repository).find(each => each.endsWith('.tar.lz4'))!
    rmSync(path.join(part, victim))
    const error = await work
    expect(hasCode(error, 'INTEGRITY')).toBe(true)
    expect(error.message).toContain(victim)
    expect(listedBackups(scene.repository)).toEqual([])
  }, 60_000)

  test('a backup that somebody else completed meanwhile under the same name is left alone', async () => {
    using scene = await createScene()
    using other = await createScene()
    const { name } = await backupPush(other.context, pushOptions(other.data))
    const context = await operationContext(scene.repository)
    // it never comes to its end by itself while this waits
    const work = failure(backupPush(context, pushOptions(scene.data, { diskBytesPerSecond: 1 << 20 })))
    // with both parts begun it makes no more directories, which cp could meet half-way
    const begun = () => storedObjects(scene.repository).filter(each => /part_00[12].*\.tmp\./.test(each))
    await untilTrue(() => begun().length === 2, 30_000, 'both parts')
    const from = path.join(other.repository, 'basebackups_005')
    const into = path.join(scene.repository, 'basebackups_005')
    const copy = spawnSync('cp', ['-r', `${from}/.`, into], { encoding: 'utf8' })
    expect(copy.stderr).toBe('')
    expect(copy.status).toBe(0)
    context.abort.abort()
    expect(hasCode(await work, 'CANCELLED')).toBe(true)
    expect(listedBackups(scene.repository)).toEqual([name])
    restore(scene, name)
  }, 60_000)
})

describe('backup-push with every compression and part size', () => {
  for (const compression of ['none', 'lz4', 'zstd', 'brotli', 'lzma'] as const) {
    test(`${compression}: the parts are opened by the method's own program`, async () => {
      using scene = await createScene()
      const context = await operationContext(scene.repository, { codec: { compression } })
      const { name } = await backupPush(
        context,
        pushOptions(scene.data, { partBytesMax: 6_000_000, partsAtOnce: 3 }),
      )
      const target = restore(scene, name)
      const diff = spawnSync(
        'diff',
        ['-r', '--no-dereference', '-x', 'pg_wal', '-x', 'pg_subtrans', scene.data, target],
        {
          encoding: 'utf8',
        },
      )
      expect(diff.stdout.split('\n').filter(line => line !== '')).toEqual([
        `Only in ${scene.data}: postmaster.opts`,
      ])
      const sets = readJson(scene.repository, name, 'files_metadata.json')['TarFileSets'] as Record<
        string,
        string[]
      >
      expect(Object.keys(sets).length).toBeGreaterThan(3)
    }, 60_000)
  }
})

describe('backup-push and a storage that fails', () => {
  async function faulty(scene: Scene, faults: readonly FileFault[]): Promise<OperationContext> {
    const url = new URL('../../doubles/instrumented-files.ts', import.meta.url).href
    const { storageDescription } = scene.context
    const driver = {
      kind: 'fs' as const,
      root: scene.repository,
      isDurable: true,
      systemModule: { url, options: { faults } },
    }
    const description = { ...storageDescription, driver }
    return { ...scene.context, storageDescription: description, storage: await openStorage(description) }
  }

  for (const [title, fault, codes] of [
    [
      'fsync of a part reports an I/O error',
      { call: 'fsync', path: 'part_', errno: 'EIO' },
      /fsync|I\/O|EIO|put/i,
    ],
    [
      'the disk fills up while a part is written',
      { call: 'write', path: 'part_', nth: 2, errno: 'ENOSPC' },
      /no space/,
    ],
    ['a part cannot be given its name', { call: 'link', path: 'part_', errno: 'EIO' }, /part_/],
    ['the sentinel cannot be synced', { call: 'fsync', path: 'sentinel', errno: 'EIO' }, /sentinel/],
    [
      'files_metadata.json meets a full disk',
      { call: 'write', path: 'files_metadata', errno: 'ENOSPC' },
      /no space/,
    ],
  ] as const) {
    test(`when ${title}, the push fails, nothing is listed and nothing is left`, async () => {
      using scene = await createScene()
      const context = await faulty(scene, [{ ...fault, times: 1e9 } as FileFault])
      const error = await failure(backupPush(context, pushOptions(scene.data)))
      expect(error.message).toMatch(codes)
      expect(listedBackups(scene.repository)).toEqual([])
      expect(storedObjects(scene.repository)).toEqual([])
      await backupPush(scene.context, pushOptions(scene.data))
      expect(listedBackups(scene.repository).length).toBe(1)
    }, 60_000)
  }

  test('short writes of the system change nothing', async () => {
    using scene = await createScene()
    const context = await faulty(scene, [
      { call: 'write', path: 'part_', bytesMax: 1000, times: 50 } as FileFault,
    ])
    const { name } = await backupPush(context, pushOptions(scene.data))
    restore(scene, name)
  })

  test("a lost answer to the sentinel's link leaves either a whole backup or none", async () => {
    using scene = await createScene()
    const fault = { call: 'link', path: 'sentinel', errno: 'EIO', isAnswerLost: true } as FileFault
    const context = await faulty(scene, [fault])
    const error = await failure(backupPush(context, pushOptions(scene.data)))
    expect(error.message).not.toBe('it succeeded')
    expect(listedBackups(scene.repository)).toEqual([])
    expect(storedObjects(scene.repository)).toEqual([])
  })
})
