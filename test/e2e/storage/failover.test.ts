import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { type Cluster, startCluster } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import type { Finished } from '../../support/process.ts'
import { describeUnless } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'

setDefaultTimeout(120_000)

const NAMES = ['default', 'st_b', 'st_c'] as const
type Name = (typeof NAMES)[number]

/** Three file storages side by side, each of which can be damaged, and a home that remembers what was found out. */
class Storages implements Disposable {
  readonly place: TempDirectory = tempDirectory('failover')
  readonly #settings: Record<string, string>

  constructor(settings: Record<string, string> = {}) {
    this.#settings = settings
    for (const name of [...NAMES, 'home']) {
      mkdirSync(this.place.at(name))
      giveToClusterUser(this.place.at(name), 0o755)
    }
    giveToClusterUser(this.place.path, 0o777)
  }

  root(name: Name): string {
    return this.place.at(name)
  }

  run(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
    const failovers = Object.fromEntries(
      NAMES.slice(1).map(name => [name, { WALG_FILE_PREFIX: this.root(name) }]),
    )
    return runWalg(args, {
      asClusterUser: true,
      env: {
        HOME: this.place.at('home'),
        WALG_FILE_PREFIX: this.root('default'),
        WALG_FAILOVER_STORAGES: JSON.stringify(failovers),
        WALG_DOWNLOAD_CONCURRENCY: '1',
        ...this.#settings,
        ...env,
      },
    })
  }

  async succeed(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
    const finished = await this.run(args, env)
    expect({ args, exit: finished.exit, stderr: finished.exit === 0 ? '' : finished.stderr }).toEqual({
      args,
      exit: 0,
      stderr: '',
    })
    return finished
  }

  /** A file to archive, its name a history of that timeline. */
  file(timeline: number, text = `history ${timeline}\n`): string {
    const name = this.place.at(`${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`)
    writeFileSync(name, text)
    return name
  }

  keys(name: Name): string[] {
    const root = this.root(name)
    if (!existsSync(root)) return []
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => path.relative(root, path.join(entry.parentPath, entry.name)))
      .sort()
  }

  vanish(name: Name): Disposable {
    const away = `${this.root(name)}.away`
    renameSync(this.root(name), away)
    return { [Symbol.dispose]: () => renameSync(away, this.root(name)) }
  }

  [Symbol.dispose](): void {
    this.place.remove()
  }
}

describe('failover storages', () => {
  test('WAL goes to the first storage that answers, and is found in any of them', async () => {
    using storages = new Storages()
    await storages.succeed(['wal-push', storages.file(2)])
    {
      using _gone = storages.vanish('default')
      const { stderr } = await storages.succeed(['wal-push', storages.file(3)])
      expect(stderr).toContain('Storage "default" is not alive')
      expect(stderr).toContain('Files will be uploaded to storage: st_b')
    }
    expect(storages.keys('st_b')).toEqual(['wal_005/00000003.history.lz4'])
    for (const timeline of [2, 3]) {
      const name = `0000000${timeline}.history`
      await storages.succeed(['wal-fetch', name, storages.place.at(`fetched-${name}`)])
    }
  })

  test('WAL that lies in another storage since an outage is not contradicted, by a file nor by a directory', async () => {
    using storages = new Storages()
    {
      using _gone = storages.vanish('default')
      await storages.succeed(['wal-push', storages.file(2)])
    }
    const wal = storages.place.at('wal')
    mkdirSync(wal)
    giveToClusterUser(wal, 0o755)
    writeFileSync(path.join(wal, '00000002.history'), 'other')
    for (const pushed of [storages.file(2, 'other'), wal]) {
      const { exit, stderr } = await storages.run(['wal-push', pushed])
      expect(exit).toBe(1)
      expect(stderr).toContain('contents differ')
      expect(storages.keys('default')).toEqual([])
    }
    {
      using _gone = storages.vanish('st_b')
      const { stderr } = await storages.succeed(['wal-push', storages.file(3)])
      expect(stderr).toMatch(/^WARNING: .*"st_b" is not alive.*not compared with what it has/m)
    }
    await storages.succeed(['wal-push', storages.file(2)])
    expect(storages.keys('default')).toEqual(['wal_005/00000002.history.lz4', 'wal_005/00000003.history.lz4'])
    await storages.succeed(['wal-push', storages.file(4, 'here'), '--target-storage', 'st_c'])
    await storages.succeed(['wal-push', storages.file(4, 'there'), '--target-storage', 'default'])
  })

  test('a storage that can be read but not written to is passed over, and the probe leaves nothing', async () => {
    using storages = new Storages()
    chmodSync(storages.root('default'), 0o555)
    const { stderr } = await storages.succeed(['wal-push', storages.file(2)])
    chmodSync(storages.root('default'), 0o755)
    expect(stderr).toContain('Files will be uploaded to storage: st_b')
    expect(storages.keys('default')).toEqual([])
    expect(storages.keys('st_b')).toEqual(['wal_005/00000002.history.lz4'])
  })

  test('"not in the archive" is only said when every storage has answered', async () => {
    using storages = new Storages()
    const fetch = (): Promise<Finished> =>
      storages.run(['wal-fetch', '000000010000000000000001', storages.place.at('x')])
    expect((await fetch()).exit).toBe(74)
    for (const name of NAMES) {
      using _gone = storages.vanish(name)
      const { exit, stderr } = await fetch()
      expect({ name, exit }).toEqual({ name, exit: 1 })
      expect(stderr).toContain(`storage "${name}" does not`)
    }
    expect((await fetch()).exit).toBe(74)
    using _a = storages.vanish('default')
    using _b = storages.vanish('st_b')
    using _c = storages.vanish('st_c')
    const { exit, stderr } = await fetch()
    expect(exit).toBe(1)
    expect(stderr).toContain('no alive storages')
  })

  test('a push is refused when no storage answers; one that is named is the only one used', async () => {
    using storages = new Storages()
    await storages.succeed(['wal-push', storages.file(2), '--target-storage', 'st_c'])
    await storages.succeed(['wal-push', storages.file(3)], { WALG_TARGET_STORAGE: 'st_b' })
    expect(NAMES.map(name => storages.keys(name).length)).toEqual([0, 1, 1])
    const unknown = await storages.run(['wal-push', storages.file(4), '--target-storage', 'ST_C'])
    expect(unknown.stderr).toContain('unknown storage "ST_C"')
    using _a = storages.vanish('default')
    const named = await storages.run(['wal-push', storages.file(4)], { WALG_TARGET_STORAGE: 'default' })
    expect(named.exit).toBe(1)
    using _b = storages.vanish('st_b')
    using _c = storages.vanish('st_c')
    const refused = await storages.run(['wal-push', storages.file(4)])
    expect(refused.exit).toBe(1)
    expect(refused.stderr).toContain('no alive storages')
  })

  test('without checks the first storage is used, whatever it is', async () => {
    using storages = new Storages({ WALG_FAILOVER_STORAGES_CHECK: 'false' })
    await storages.succeed(['wal-push', storages.file(2)])
    using _gone = storages.vanish('default')
    expect((await storages.run(['wal-push', storages.file(3)])).exit).toBe(1)
    expect(storages.keys('st_b')).toEqual([])
  })
})

describe('WAL on mirrors', () => {
  const MIRROR = { WALG_MIRROR_STORAGES: 'st_b' }
  const OPTIONAL = { ...MIRROR, WALG_MIRROR_REQUIRED: 'false' }

  test('is acknowledged when it is on every mirror; a retry brings what one lacks', async () => {
    using storages = new Storages(MIRROR)
    await storages.succeed(['wal-push', storages.file(2)])
    expect(storages.keys('st_b')).toEqual(storages.keys('default'))
    rmSync(path.join(storages.root('st_b'), 'wal_005'), { recursive: true })
    await storages.succeed(['wal-push', storages.file(2)])
    expect(storages.keys('st_b')).toEqual(storages.keys('default'))
  })

  test('is not acknowledged while a mirror is down or holds something else of that name', async () => {
    using storages = new Storages(MIRROR)
    {
      using _gone = storages.vanish('st_b')
      const { exit, stderr } = await storages.run(['wal-push', storages.file(2)])
      expect(exit).toBe(1)
      expect(stderr).toContain('mirror "st_b" is down')
    }
    await storages.succeed(['wal-push', storages.file(2)])
    await storages.succeed(['wal-push', storages.file(3, 'other'), '--target-storage', 'st_b'])
    const { exit, stderr } = await storages.run(['wal-push', storages.file(3)])
    expect(exit).toBe(1)
    expect(stderr).toContain('contents differ')
    expect(storages.keys('default')).toEqual(['wal_005/00000002.history.lz4'])
  })

  test('that need not take part is noted while one is down, and brought by the next push', async () => {
    using storages = new Storages(OPTIONAL)
    {
      using _gone = storages.vanish('st_b')
      await storages.succeed(['wal-push', storages.file(2)])
      const { stderr } = await storages.succeed(['wal-push', storages.file(3)])
      expect(stderr).toContain('Mirror "st_b" is down and lacks 2 objects')
    }
    const { stderr } = await storages.succeed(['wal-push', storages.file(4)])
    expect(stderr).toContain('2 objects that mirror "st_b" had missed were brought there, 0 are left')
    expect(storages.keys('st_b')).toEqual(storages.keys('default'))
    expect(readdirSync(storages.place.at('home/.walg_mirror_gaps'))).toEqual([])
  })

  test('takes the place of the primary storage when nothing else is left, and pays it back', async () => {
    using storages = new Storages(OPTIONAL)
    {
      using _a = storages.vanish('default')
      using _c = storages.vanish('st_c')
      await storages.succeed(['wal-push', storages.file(2)])
      expect(storages.keys('st_b')).toEqual(['wal_005/00000002.history.lz4'])
      const required = await storages.run(['wal-push', storages.file(3)], { WALG_MIRROR_REQUIRED: 'true' })
      expect(required.exit).toBe(1)
    }
    await storages.succeed(['wal-push', storages.file(4)])
    expect(storages.keys('default')).toEqual(storages.keys('st_b'))
  })

  test('is fetched from there when the primary storage has it damaged', async () => {
    using storages = new Storages(MIRROR)
    await storages.succeed(['wal-push', storages.file(2)])
    truncateSync(path.join(storages.root('default'), 'wal_005/00000002.history.lz4'), 20)
    const { stderr } = await storages.succeed(['wal-fetch', '00000002.history', storages.place.at('out')])
    expect(stderr).toContain('the next storage is asked')
    expect(readFileSync(storages.place.at('out'), 'utf8')).toBe('history 2\n')
  })
})

const reason = missingPostgres(15)

describeUnless(reason, 'backups on mirrors', () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await startCluster({ major: 15 })
    await cluster.query('create table t as select g, md5(g::text) from generate_series(1, 20000) g')
    await cluster.stop()
  })
  afterAll(async () => await cluster[Symbol.asyncDispose]())

  const MIRROR = { WALG_MIRROR_STORAGES: 'st_b', WALG_TAR_SIZE_THRESHOLD: '8000000' }
  const push = (): string[] => ['backup-push', cluster.dataDirectory]

  test('are the same objects, listed for each storage, and deleted from all', async () => {
    using storages = new Storages(MIRROR)
    await storages.succeed(push())
    const keys = storages.keys('default')
    expect(keys.filter(key => key.includes('/part_')).length).toBeGreaterThan(2)
    expect(storages.keys('st_b')).toEqual(keys)
    for (const key of keys) {
      const [own, mirrored] = (['default', 'st_b'] as const).map(name =>
        readFileSync(path.join(storages.root(name), key)),
      )
      expect(Buffer.compare(own!, mirrored!)).toBe(0)
    }
    const listed = JSON.parse((await storages.succeed(['backup-list', '--json'])).stdout)
    expect(listed.map((backup: { storage_name: string }) => backup.storage_name).sort()).toEqual([
      'default',
      'st_b',
    ])
    const name: string = listed[0].backup_name
    await storages.succeed(['backup-mark', name])
    expect((await storages.run(['delete', 'everything', '--confirm'])).exit).toBe(1)
    await storages.succeed(['backup-mark', name, '--impermanent'])
    await storages.succeed(['delete', 'everything', '--confirm'])
    expect(NAMES.flatMap(each => storages.keys(each))).toEqual([])
  })

  test('give what is damaged, missing or unreachable in the primary storage', async () => {
    using storages = new Storages(MIRROR)
    await storages.succeed(push())
    const own = (pattern: RegExp): string[] =>
      storages
        .keys('default')
        .filter(key => pattern.test(key))
        .map(key => path.join(storages.root('default'), key))
    const fetchTo = (name: string): Promise<Finished> =>
      storages.succeed(['backup-fetch', storages.place.at(name), 'LATEST'])
    await fetchTo('whole')

    const [damaged, missing] = own(/\/part_/)
    truncateSync(damaged!, 1000)
    rmSync(missing!)
    truncateSync(own(/files_metadata/)[0]!, 100)
    await fetchTo('damaged')
    rmSync(own(/pg_control\.tar/)[0]!)
    truncateSync(own(/sentinel/)[0]!, 10)
    await fetchTo('broken')
    using _gone = storages.vanish('default')
    await fetchTo('vanished')
    for (const name of ['damaged', 'broken', 'vanished']) {
      expect(filesOf(storages.place.at(name))).toEqual(filesOf(storages.place.at('whole')))
    }
  })

  test('build upon nothing that a mirror does not have', async () => {
    await using running = await startCluster({ major: 15 })
    using storages = new Storages({ ...running.environment, WALG_DELTA_MAX_STEPS: '5' })
    const take = ['backup-push', running.dataDirectory]
    await storages.succeed(take)
    await running.query('select pg_switch_wal()')
    const { stderr } = await storages.succeed(take, MIRROR)
    expect(stderr).toContain('Storage "st_b" does not have all of')
    await running.query('select pg_switch_wal()')
    await storages.succeed(take, MIRROR)
    const { stdout } = await storages.succeed(['backup-list', '--json'])
    const names = JSON.parse(stdout).map((backup: Record<string, string>) => [
      backup['storage_name'],
      /_D_/.test(backup['backup_name']!),
    ])
    expect(names.filter(([storage]: [string]) => storage === 'st_b')).toEqual([
      ['st_b', false],
      ['st_b', true],
    ])
  })

  test('are not made while a mirror is down, and leave nothing in the primary storage', async () => {
    using storages = new Storages(MIRROR)
    using _gone = storages.vanish('st_b')
    const { exit, stderr } = await storages.run(push())
    expect(exit).toBe(1)
    expect(stderr).toContain('mirror "st_b" is down')
    expect(storages.keys('default')).toEqual([])
  })

  test('that need not take part are completed by the next push, the sentinel last', async () => {
    using storages = new Storages({ ...MIRROR, WALG_MIRROR_REQUIRED: 'false' })
    {
      using _gone = storages.vanish('st_b')
      const { stderr } = await storages.succeed(push())
      expect(stderr).toContain('Mirror "st_b" is down and lacks')
    }
    expect(storages.keys('st_b')).toEqual([])
    await storages.succeed(['wal-push', storages.file(2)])
    expect(storages.keys('st_b')).toEqual(storages.keys('default'))
  })
})

function filesOf(root: string): Record<string, string> {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return Object.fromEntries(
    files
      .map(entry => path.join(entry.parentPath, entry.name))
      .sort()
      .map(file => [path.relative(root, file), Bun.hash(readFileSync(file)).toString(16)]),
  )
}
