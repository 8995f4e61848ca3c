import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { collect, streamOf } from '../../src/kit/bytes.ts'
import { WalgError } from '../../src/kit/errors.ts'
import { verify } from '../../src/operations/verify/verify.ts'
import { openPayload, putSealed } from '../../src/repository/sealed.ts'
import { operationContext } from '../support/operation-context.ts'
import type { Finished } from '../support/process.ts'
import { copyRepository, openScene, pushBackup, type Repository, type Scene } from './sample.ts'

let scene: Scene
let older: string
let backup: string

beforeAll(async () => {
  scene = await openScene()
  older = await pushBackup(scene)
  await scene.cluster.query('create table later as select g, md5(g::text) from generate_series(1, 9000) g')
  backup = await pushBackup(scene)
  await scene.cluster.stop()
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

interface Report {
  readonly status: string
  readonly backups: readonly {
    readonly backup_name: string
    readonly is_good: boolean
    readonly has_hashes: boolean
    readonly parts: { readonly count: number; readonly verified: number; readonly trusted: number }
    readonly verified_since: string | null
  }[]
  readonly findings: readonly {
    readonly severity: string
    readonly backup_name: string | null
    readonly object: string | null
    readonly message: string
  }[]
}

const reportOf = (run: Finished): Report => JSON.parse(run.stdout) as Report

let copies = 0

function copy(): Repository {
  copies += 1
  return copyRepository(scene.repository, scene.place.at(`copy-${copies}`))
}

/** The segment in which the younger backup begins. */
const firstWal = (): string => `${backup.slice('base_'.length)}.lz4`

const flip = (file: string): void => {
  const bytes = readFileSync(file)
  bytes[Math.floor(bytes.length * 0.6)]! ^= 0x10
  writeFileSync(file, bytes)
}

describe('verify', () => {
  test('finds our own backups whole, by hash', async () => {
    const run = await copy().run(['verify', '--all', '--to-now', '--json'])
    const { status, backups, findings } = reportOf(run)
    expect({ exit: run.exit, status, findings }).toEqual({ exit: 0, status: 'OK', findings: [] })
    expect(
      backups.map(({ backup_name, has_hashes, is_good }) => ({ backup_name, has_hashes, is_good })),
    ).toEqual([older, backup].map(backup_name => ({ backup_name, has_hashes: true, is_good: true })))
    expect(backups.every(({ verified_since }) => verified_since !== null)).toBe(true)
  })

  const part = (name: string) => (repository: Repository) =>
    repository.backupPath(backup, 'tar_partitions', name)
  const cases: readonly (readonly [
    string,
    (repository: Repository) => string,
    (file: string) => void,
    RegExp,
  ])[] = [
    ['a changed byte of a part', part('part_001.tar.lz4'), flip, /part_001/],
    ['a cut part', part('part_001.tar.lz4'), file => truncateSync(file, 1000), /part_001/],
    ['a missing part', part('part_001.tar.lz4'), file => rmSync(file), /part_001.*is missing/],
    ['a missing pg_control', part('pg_control.tar.lz4'), file => rmSync(file), /pg_control/],
    ['an empty part', part('backup_label.tar.lz4'), file => truncateSync(file, 0), /backup_label/],
    [
      'the part of another backup',
      part('pg_control.tar.lz4'),
      file => copyFileSync(file.replace(backup, older), file),
      /pg_control/,
    ],
    [
      'an object that is no part',
      part('note.txt'),
      file => writeFileSync(file, 'x'),
      /note\.txt.*is no part/,
    ],
    [
      'a damaged list of files',
      repository => repository.backupPath(backup, 'files_metadata.json'),
      file => truncateSync(file, 100),
      /files_metadata/,
    ],
    [
      'missing metadata',
      repository => repository.backupPath(backup, 'metadata.json'),
      file => rmSync(file),
      /metadata\.json/,
    ],
    [
      'a changed content manifest',
      repository => repository.backupPath(backup, 'content_manifest.jsonl.lz4'),
      flip,
      /content_manifest/,
    ],
    [
      'a sentinel that is not JSON',
      repository => repository.backupPath(`${backup}_backup_stop_sentinel.json`),
      file => writeFileSync(file, '{'),
      /sentinel/,
    ],
    [
      'a missing segment',
      repository => path.join(repository.root, 'wal_005', firstWal()),
      file => rmSync(file),
      /is not in the archive/,
    ],
    [
      'a changed byte of a segment',
      repository => path.join(repository.root, 'wal_005', firstWal()),
      flip,
      /wal_005/,
    ],
    [
      'a segment under the name of another',
      repository => path.join(repository.root, 'wal_005', firstWal()),
      file => copyFileSync(path.join(path.dirname(file), readdirSync(path.dirname(file)).sort()[0]!), file),
      /wal_005/,
    ],
  ]
  for (const [title, fileOf, damage, shown] of cases) {
    test(`finds ${title}, and only that`, async () => {
      const repository = copy()
      damage(fileOf(repository))
      const run = await repository.run(['verify', '--all'])
      expect(run.exit).toBe(4)
      expect(run.stdout).toMatch(shown)
      expect(run.stdout).toContain('verify: FAILURE')
      expect(run.stdout).toContain(`${older}: good`)
      expect(run.stdout).not.toContain(`${backup}: good`)
    })
  }

  test('finds a segment that was never finished, by its own name', async () => {
    const repository = copy()
    const { storage, codec } = await operationContext(repository.root)
    const names = readdirSync(path.join(repository.root, 'wal_005'))
      .filter(name => /^[0-9A-F]{24}\.lz4$/.test(name))
      .sort()
      .slice(0, -1)
      .map(name => name.slice(0, 24))
    const segments = await Promise.all(
      names.map(async name => {
        const bytes = await collect(await openPayload(storage, codec, `wal_005/${name}`), 64 << 20)
        return { name, bytes, usedBytes: bytes.findLastIndex(byte => byte !== 0) }
      }),
    )
    const { name, bytes, usedBytes } = segments.reduce((most, each) =>
      each.usedBytes > most.usedBytes ? each : most,
    )
    expect(usedBytes).toBeGreaterThan(3 * 8192)
    bytes.fill(0, Math.floor(usedBytes / 2 / 8192) * 8192)
    await putSealed(storage, codec, `wal_005/${name}`, streamOf(bytes))
    const run = await repository.run(['verify', '--all', '--to-now'])
    expect(run.exit).toBe(4)
    expect(run.stdout).toContain(`segment ${name} was never finished (`)
  })

  test('without a name verifies the latest backup, and a name that is not there is an error of its own', async () => {
    const repository = copy()
    const latest = reportOf(await repository.run(['verify', '--json']))
    expect(latest.backups.map(({ backup_name }) => backup_name)).toEqual([backup])
    const missing = await repository.run(['verify', 'base_000000010000000000000001'])
    expect(missing.exit).toBe(1)
    expect(missing.stderr).toContain('does not exist')
  })

  test('--incremental reads what has changed, and nothing else', async () => {
    const repository = copy()
    await repository.run(['verify', '--all'])
    flip(repository.backupPath(backup, 'tar_partitions', 'part_001.tar.lz4'))
    const run = await repository.run(['verify', '--all', '--incremental', '--json'])
    expect(run.exit).toBe(4)
    const [first, second] = reportOf(run).backups
    expect([first!.parts.verified, first!.parts.trusted]).toEqual([0, first!.parts.count])
    expect([second!.parts.verified, second!.parts.trusted]).toEqual([0, second!.parts.count - 1])
  })

  test('--percent comes round to everything', async () => {
    const repository = copy()
    for (let runs = 0; runs < 100; runs += 1) {
      const run = await repository.run(['verify', '--all', '--percent', '40', '--json'])
      expect(run.exit).toBe(0)
      if (reportOf(run).backups.every(({ verified_since }) => verified_since !== null)) return
    }
    throw new Error('never came round')
  })

  test('goes on after an interruption where it was', async () => {
    const repository = copy()
    let opened = 0
    const context = await operationContext(repository.root, {
      wrap: storage => ({
        ...storage,
        checkRoot: options => storage.checkRoot(options),
        openSource: (key, options) => {
          opened += 1
          // pg_control is looked at first: it says whether pages have checksums
          if (opened > 3) throw new WalgError('STORAGE_UNAVAILABLE', 'gone')
          return storage.openSource(key, options)
        },
      }),
    })
    const options = {
      selection: { kind: 'all' },
      isIncremental: true,
      maxAgeMs: null,
      percent: 100,
      isToNow: false,
      segmentBytes: 1 << 20,
      pageBytes: 8192,
      nowNs: 0n,
    } as const
    await expect(verify(context, options)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    const report = await verify(await operationContext(repository.root), options)
    expect(report.status).toBe('OK')
    expect(report.backups.reduce((sum, { parts }) => sum + parts.trusted, 0)).toBe(2)
  })

  test('of a repository that may only be read works, and says that nothing is remembered', async () => {
    const repository = copy()
    const context = await operationContext(repository.root, {
      wrap: storage => ({
        ...storage,
        put: async () => {
          throw new WalgError('ACCESS_DENIED', 'read only')
        },
      }),
    })
    const report = await verify(context, {
      selection: { kind: 'latest' },
      isIncremental: false,
      maxAgeMs: null,
      percent: 100,
      isToNow: true,
      segmentBytes: 1 << 20,
      pageBytes: 8192,
      nowNs: 0n,
    })
    expect(report.status).toBe('OK')
    expect(context.messages.filter(message => message.startsWith('WARNING'))).toEqual([
      'WARNING: what was verified is not remembered: read only',
    ])
  })

  test('what it remembers hinders nobody: list, fetch and delete work as before', async () => {
    const repository = copy()
    await repository.run(['verify', '--all'])
    expect(repository.objectsOf(backup)).toContain('verification.jsonl.lz4')
    const target = scene.place.at('after-verify')
    expect((await repository.run(['backup-fetch', target, 'LATEST'])).exit).toBe(0)
    expect((await repository.run(['delete', 'everything', 'FORCE', '--confirm'])).exit).toBe(0)
    expect(repository.objectsOf(backup)).toEqual([])
  })

  for (const args of [
    ['x', '--all'],
    ['--percent', '0'],
    ['--percent', 'x'],
    ['--max-age', '3d'],
    ['--incremental', '--max-age', '3'],
  ]) {
    test(`${args.join(' ')} is a usage error`, async () => {
      const run = await scene.repository.run(['verify', ...args])
      expect(run.exit).toBe(1)
      expect(run.stderr).toContain('Usage:')
    })
  }
})
