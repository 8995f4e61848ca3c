import { describe, expect, setDefaultTimeout } from 'bun:test'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import path from 'node:path'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { readControlFile } from '../../../src/postgres/control-file.ts'
import { formatLsn } from '../../../src/postgres/lsn.ts'
import { type Cluster, startCluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext } from '../../support/operation-context.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import { archiveEverything, walg } from '../archiving-cluster.ts'
import { NO_DELTA, pushOptions } from '../push/backup-push-support.ts'

setDefaultTimeout(180_000)

const MAJOR: Major = 17
const MIB = 1024 * 1024

/** A cluster whose archive takes anything, as a machine whose snapshots are brought back must have it. */
class Rig implements AsyncDisposable {
  readonly cluster: Cluster
  readonly place: TempDirectory
  readonly settings: Readonly<Record<string, string>>

  private constructor(cluster: Cluster, place: TempDirectory, settings: Readonly<Record<string, string>>) {
    this.cluster = cluster
    this.place = place
    this.settings = settings
  }

  /** `isArchivedElsewhere`: another program has the WAL. */
  static async start(
    settings: Readonly<Record<string, string>> = {},
    isArchivedElsewhere = false,
  ): Promise<Rig> {
    const place = tempDirectory('rolled-back')
    mkdirSync(place.at('repository'))
    mkdirSync(place.at('elsewhere'))
    for (const folder of ['repository', 'elsewhere']) giveToClusterUser(place.at(folder), 0o777)
    const ours = { WALG_FILE_PREFIX: place.at('repository'), WALG_PG_WAL_SIZE: '1' }
    const cluster = await startCluster({
      major: MAJOR,
      segmentSizeMiB: 1,
      settings: { autovacuum: 'off', ...settings },
      archiveCommand: isArchivedElsewhere
        ? `cp %p "${place.at('elsewhere')}/%f"`
        : walgCommand({ ...ours, WALG_PREVENT_WAL_OVERWRITE: 'false' }, 'wal-push %p'),
    })
    await cluster.query('create table t as select g as id, 0 as v from generate_series(1, 20000) g')
    return new Rig(cluster, place, ours)
  }

  async push(
    repository: string = this.place.at('repository'),
  ): Promise<{ name: string; parent: string | null; warnings: string[] }> {
    const context = await operationContext(repository)
    const delta = { ...NO_DELTA, stepsMax: 9 }
    const changes = { ...delta.changes, walSegmentBytes: MIB }
    const options = pushOptions(this.cluster.dataDirectory, {
      cluster: this.cluster,
      delta: { ...delta, changes },
      walSegmentBytes: MIB,
    })
    const { name, parent } = await backupPush(context, options)
    await context.storage.close()
    return { name, parent, warnings: context.messages.filter(line => line.startsWith('WARNING')) }
  }

  async update(from: number, to: number, v: number): Promise<void> {
    await this.cluster.query(`update t set v = ${v} where id between ${from} and ${to}`)
  }

  /** The LSN passes what comes soon; the WAL that nobody needs is removed. */
  async goOn(): Promise<void> {
    for (let segment = 0; segment < 12; segment++) {
      await this.cluster.query(`select pg_logical_emit_message(true, 'test', '')`)
      await this.cluster.query('select pg_switch_wal()')
    }
    const [row] = await this.cluster.query<{ archive_mode: string }>('show archive_mode')
    if (row?.archive_mode === 'on') await archiveEverything(this.cluster)
    await this.cluster.query('checkpoint')
  }

  async keepSnapshot(): Promise<void> {
    await this.cluster.stop()
    cpSync(this.cluster.dataDirectory, this.place.at('snapshot'), { recursive: true, verbatimSymlinks: true })
    await this.cluster.start()
  }

  /** As a machine is rolled back: the directory is that of the snapshot, and the server goes on. */
  async bringSnapshotBack(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.cluster.stop()
    rmSync(this.cluster.dataDirectory, { recursive: true })
    const snapshot = this.place.at('snapshot')
    cpSync(snapshot, this.cluster.dataDirectory, {
      recursive: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
    })
    giveTree(this.cluster.dataDirectory)
    this.cluster.configure(settings)
    await this.cluster.start()
  }

  async contents(cluster: Cluster): Promise<unknown> {
    return (await cluster.query('select count(*), sum(id::bigint * (v + 1)) from t'))[0]
  }

  async restored(name: string): Promise<unknown> {
    const target = this.place.at('restored')
    await walg(['backup-fetch', target, name], this.settings)
    const command = walgCommand(this.settings, 'wal-fetch "%f" "%p"')
    await using server = await startRestored(target, {
      major: MAJOR,
      settings: { restore_command: command, recovery_target: 'immediate', recovery_target_action: 'promote' },
    })
    return await this.contents(server)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.remove()
    this.place.remove()
  }
}

function giveTree(directory: string): void {
  giveToClusterUser(directory, 0o700)
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    giveToClusterUser(file, entry.isDirectory() ? 0o700 : 0o600)
  }
}

describe('a cluster that was rolled back on its timeline', () => {
  const passesTheEnd = async (rig: Rig, settings: Readonly<Record<string, string>> = {}): Promise<void> => {
    await rig.push()
    await rig.update(1, 3000, 1)
    await rig.keepSnapshot()
    await rig.update(10_001, 13_000, 2)
    const abandoned = await rig.push()
    expect(abandoned.parent).not.toBeNull()
    await rig.bringSnapshotBack(settings)
    await rig.update(3001, 4000, 3)
    await rig.goOn()
    const next = await rig.push()
    expect(next.parent).toBeNull()
    expect(next.warnings.join('\n')).toContain(
      `${abandoned.name} cannot be the parent of a delta: the cluster's WAL does not have its end at`,
    )
    if (settings['archive_mode'] === 'off') return
    expect(await rig.restored(next.name)).toEqual(await rig.contents(rig.cluster))
  }

  testUnless(
    missingPostgres(MAJOR),
    'makes a full backup when it has passed the end of the parent, whose WAL is overwritten in the archive',
    async () => {
      await using rig = await Rig.start()
      await passesTheEnd(rig)
    },
  )

  testUnless(
    missingPostgres(MAJOR),
    'makes a full backup when pg_wal alone has the other WAL: nothing is archived any more',
    async () => {
      await using rig = await Rig.start({ wal_keep_size: '64MB' })
      await passesTheEnd(rig, { archive_mode: 'off' })
    },
  )
})

describe('a cluster that was rolled back, and whose WAL looks like that of the parent', () => {
  /** A delta that the snapshot before it knows nothing of. */
  const pushAbandoned = async (rig: Rig): Promise<{ readonly name: string }> => {
    await rig.push()
    await rig.keepSnapshot()
    await rig.update(1, 3000, 2)
    const abandoned = await rig.push()
    expect(abandoned.parent).not.toBeNull()
    return abandoned
  }

  testUnless(
    missingPostgres(MAJOR),
    'makes a full backup when another backup has begun and ended where the parent did',
    async () => {
      await using rig = await Rig.start()
      const abandoned = await pushAbandoned(rig)
      await rig.bringSnapshotBack()
      await rig.update(1, 3000, 3)
      // times of checkpoints are whole seconds
      await rig.cluster.query('select pg_sleep(1.1)')
      // as short, and so with its start and its end at the same LSNs
      using elsewhere = tempDirectory('elsewhere')
      const other = await rig.push(elsewhere.path)
      expect(other.name).toBe(abandoned.name.slice(0, 29))
      await rig.goOn()
      const next = await rig.push()
      expect([next.parent, next.warnings.length]).toEqual([null, 1])
      expect(next.warnings[0]).toContain("the cluster's WAL does not have its end at")
      expect(await rig.restored(next.name)).toEqual(await rig.contents(rig.cluster))
    },
  )

  testUnless(
    missingPostgres(MAJOR),
    'makes a full backup when the archive, which gets nothing now, has WAL that is yet to come',
    async () => {
      await using rig = await Rig.start()
      const abandoned = await pushAbandoned(rig)
      await rig.goOn()
      await rig.goOn()
      await rig.bringSnapshotBack({ archive_mode: 'off' })
      await rig.update(1, 3000, 3)
      await rig.goOn()
      const next = await rig.push()
      expect(next.parent).toBeNull()
      expect(next.warnings.join('\n')).toMatch(
        new RegExp(
          `${abandoned.name} cannot be the parent of a delta: the archive has WAL segment \\w{24} already`,
        ),
      )
    },
  )
})

describe('a cluster whose WAL another program archives', () => {
  testUnless(
    missingPostgres(MAJOR),
    'goes on with deltas and without a warning, and makes a full backup after a rollback',
    async () => {
      await using rig = await Rig.start({}, true)
      const push = async (): Promise<Awaited<ReturnType<Rig['push']>>> => {
        const pushed = await rig.push()
        // that is said of every backup there
        return { ...pushed, warnings: pushed.warnings.filter(line => !line.includes('puts it elsewhere')) }
      }
      const full = await push()
      await rig.update(1, 3000, 1)
      await rig.goOn()
      const first = await push()
      expect([first.parent, first.warnings]).toEqual([full.name, []])
      await rig.update(1, 3000, 2)
      await rig.keepSnapshot()
      await rig.update(10_001, 13_000, 3)
      const abandoned = await push()
      expect([abandoned.parent, abandoned.warnings]).toEqual([first.name, []])
      await rig.bringSnapshotBack()
      await rig.update(3001, 4000, 4)
      await rig.goOn()
      await rig.goOn()
      const next = await push()
      expect([next.parent, next.warnings]).toEqual([
        null,
        [expect.stringContaining('pg_wal does not have the record of its end')],
      ])
      const after = await push()
      expect([after.parent, after.warnings]).toEqual([next.name, []])
    },
  )
})

describe('a catchup from a primary that was rolled back', () => {
  testUnless(missingPostgres(MAJOR), 'is refused by a standby that has replayed what is gone', async () => {
    await using rig = await Rig.start()
    await rig.keepSnapshot()
    await rig.update(1, 3000, 2)
    await rig.cluster.query('checkpoint')
    await rig.cluster.stop()
    // what a standby has on its disk when it was stopped with its primary
    const standby = rig.place.at('standby')
    cpSync(rig.cluster.dataDirectory, standby, { recursive: true, verbatimSymlinks: true })
    const { redoLsn } = await readControlFile(standby)
    await rig.cluster.start()
    await rig.bringSnapshotBack()
    await rig.update(1, 3000, 3)
    await rig.goOn()
    const env = { ...rig.settings, ...rig.cluster.environment }
    await walg(['catchup-push', rig.cluster.dataDirectory, '--from-lsn', formatLsn(redoLsn)], env)
    giveTree(standby)
    const fetch = ['catchup-fetch', standby, 'LATEST']
    const refused = await runWalg(fetch, { env: rig.settings, asClusterUser: true })
    expect(refused.exit).toBe(1)
    expect(refused.stderr).toContain('does not have the checkpoint that the standby has replayed')
    expect(existsSync(path.join(standby, 'global', 'pg_control'))).toBe(true)
  })
})

describe('a cluster that was brought back as it was, or copied', () => {
  testUnless(missingPostgres(MAJOR), 'goes on with deltas, wherever its WAL is found', async () => {
    await using rig = await Rig.start()
    const full = await rig.push()
    await rig.update(1, 3000, 1)
    await rig.keepSnapshot()
    await rig.bringSnapshotBack()
    await rig.goOn()
    const first = await rig.push()
    expect([first.parent, first.warnings]).toEqual([full.name, []])
    // the WAL of pg_wal
    const second = await rig.push()
    expect([second.parent, second.warnings]).toEqual([first.name, []])
    // objects that are younger than the backups are read
    await rig.goOn()
    const archive = rig.place.at('repository', 'wal_005')
    for (const name of readdirSync(archive)) utimesSync(path.join(archive, name), new Date(), new Date())
    const third = await rig.push()
    expect([third.parent, third.warnings]).toEqual([second.name, []])
    expect(await rig.restored(third.name)).toEqual(await rig.contents(rig.cluster))
    // a parent without the end of its WAL
    await rig.goOn()
    for (const name of readdirSync(archive)) rmSync(path.join(archive, name))
    const fourth = await rig.push()
    // pg_wal has the record of that backup still
    expect([fourth.parent, fourth.warnings]).toEqual([third.name, []])
    for (const name of readdirSync(archive)) rmSync(path.join(archive, name))
    // and now that of another backup
    using elsewhere = tempDirectory('elsewhere')
    await rig.goOn()
    await rig.push(elsewhere.path)
    await rig.goOn()
    for (const name of readdirSync(archive)) rmSync(path.join(archive, name))
    const fifth = await rig.push()
    expect(fifth.parent).toBe(fourth.name)
    expect(fifth.warnings.join('\n')).toMatch(
      /cannot be checked in WAL segment \w{24}: it is neither in pg_wal/,
    )
  })

  testUnless(missingPostgres(MAJOR), 'and from a backup of a server that was shut down', async () => {
    await using rig = await Rig.start({ wal_keep_size: '64MB' })
    await rig.push()
    await rig.update(1, 3000, 1)
    await rig.cluster.stop()
    const atRest = await rig.push()
    await rig.cluster.start()
    await rig.update(3001, 4000, 2)
    await rig.goOn()
    const next = await rig.push()
    expect([next.parent, next.warnings]).toEqual([atRest.name, []])
  })
})
