import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import type { WalgError } from '../../../src/kit/errors.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import type { DeltaOptions } from '../../../src/operations/backup-push/delta/options.ts'
import type { BackupPushOptions, BackupPushResult } from '../../../src/operations/backup-push/options.ts'
import { type Cluster, startCluster, startRestored } from '../../support/cluster.ts'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext, type TestContext } from '../../support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import { listedBackups, NO_DELTA, pushOptions, readJson, storedObjects } from '../push/backup-push-support.ts'

setDefaultTimeout(120_000)

const MAJOR = 17
let repository: TempDirectory
let cluster: Cluster

beforeAll(async () => {
  repository = tempDirectory('repository')
  giveToClusterUser(repository.path, 0o777)
  cluster = await startCluster({
    major: MAJOR,
    settings: { autovacuum: 'off' },
    archiveCommand: walgCommand({ WALG_FILE_PREFIX: repository.path }, 'wal-push %p'),
  })
  await cluster.query(
    `create table t as select g as id, repeat(md5(g::text), 4) as v from generate_series(1, 20000) g`,
  )
})
afterAll(async () => {
  await cluster?.remove()
  repository?.remove()
})
beforeEach(() => rmSync(path.join(repository.path, 'basebackups_005'), { recursive: true, force: true }))

interface Pushed extends BackupPushResult {
  readonly messages: readonly string[]
}

type Changes = Partial<DeltaOptions> & Partial<Omit<BackupPushOptions, 'delta'>>

function optionsOf(changes: Changes): BackupPushOptions {
  const { stepsMax, origin, fromName, fromUserData, isFull, ratioMax, ...rest } = changes
  const delta: DeltaOptions = {
    ...NO_DELTA,
    stepsMax: stepsMax ?? 5,
    origin: origin ?? 'LATEST',
    fromName,
    fromUserData,
    isFull: isFull ?? false,
    ratioMax,
  }
  return pushOptions(cluster.dataDirectory, { cluster, delta, ...rest })
}

/** Changes a row, so that the next backup begins in another segment, and takes it. */
async function push(changes: Changes = {}, context?: TestContext): Promise<Pushed> {
  await cluster.query(`update t set v = 'x' where id = (random() * 20000)::int`)
  await cluster.query('select pg_switch_wal()')
  const own = context ?? (await operationContext(repository.path))
  const result = await backupPush(own, optionsOf(changes))
  return { ...result, messages: own.messages }
}

async function failure(work: Promise<unknown>): Promise<Pick<WalgError, 'code' | 'message'>> {
  try {
    await work
  } catch (error) {
    const { code, message } = error as WalgError
    return { code, message }
  }
  throw new Error('it succeeded')
}

const sentinelOf = (name: string): Record<string, unknown> => readJson(repository.path, name, 'sentinel')
const isPermanent = (name: string): unknown =>
  readJson(repository.path, name, 'metadata.json')['is_permanent']
const fileOf = (...names: string[]): string => path.join(repository.path, 'basebackups_005', ...names)
const segmentOf = (name: string): string => name.slice(5, 29)

describe('which backup becomes the parent', () => {
  test('the newest, until the chain is long enough; names, numbers and log lines are those of the original', async () => {
    const full = await push({ stepsMax: 2 })
    expect(full.messages).toContain("INFO: Couldn't find previous backup. Doing full backup.")
    const first = await push({ stepsMax: 2 })
    const second = await push({ stepsMax: 2 })
    const third = await push({ stepsMax: 2 })
    expect(first.name).toEndWith(`_D_${segmentOf(full.name)}`)
    expect(second.name).toEndWith(`_D_${segmentOf(first.name)}`)
    expect(third.name).not.toContain('_D_')
    expect(third.messages).toContain('INFO: Reached max delta steps. Doing full backup.')
    const lsn = String(sentinelOf(full.name)['LSN'])
    expect(first.messages).toContain(`INFO: LATEST backup is: '${full.name}'`)
    expect(first.messages.find(line => line.startsWith('INFO: Delta backup from'))).toStartWith(
      `INFO: Delta backup from ${full.name} with LSN 0/`,
    )
    expect(first.messages).toContain('INFO: Delta backup enabled')
    expect(first.messages.find(line => line.includes('Started backup'))).toContain(
      `base_${segmentOf(first.name)} at`,
    )
    expect(sentinelOf(first.name)).toMatchObject({
      DeltaLSN: Number(lsn),
      DeltaFrom: full.name,
      DeltaFullName: full.name,
      DeltaCount: 1,
    })
    expect(sentinelOf(second.name)).toMatchObject({
      DeltaFrom: first.name,
      DeltaFullName: full.name,
      DeltaCount: 2,
    })
    expect(second.compressedBytes).toBeLessThan(full.compressedBytes / 5)
  })

  test('LATEST_FULL makes deltas of the full, and counts on', async () => {
    const full = await push()
    const first = await push({ origin: 'LATEST_FULL', stepsMax: 2 })
    const second = await push({ origin: 'LATEST_FULL', stepsMax: 2 })
    const third = await push({ origin: 'LATEST_FULL', stepsMax: 2 })
    expect([first.parent, second.parent, third.parent]).toEqual([full.name, full.name, null])
    expect(sentinelOf(second.name)['DeltaCount']).toBe(2)
    expect(second.messages).toContain('INFO: Delta will be made from full backup.')
  })

  test('one by name, or by its user data; two deltas of one parent both restore', async () => {
    const full = await push({ userData: '{"a": 1}' })
    const other = await push({ isFull: true })
    expect(other.messages).toContain('INFO: Doing full backup.')
    const byName = await push({ fromName: full.name })
    const byData = await push({ fromUserData: '{"a":1}' })
    expect([byName.parent, byData.parent]).toEqual([full.name, full.name])
    expect((await push({ fromUserData: '{"a":2}' })).parent).toBeNull()
    expect(await failure(push({ fromName: 'base_nosuch' }))).toEqual({
      code: 'BACKUP_NOT_FOUND',
      message: "Backup 'base_nosuch' does not exist.",
    })
    const unused = await push({ stepsMax: 0, fromName: 'base_nosuch' })
    expect(unused.parent).toBeNull()
    for (const { name } of [byName, byData]) await fetch(name)
  })

  test('a permanent parent is none for a delta that is not; a permanent delta makes its chain permanent first', async () => {
    const full = await push()
    const delta = await push()
    const kept = await push({ isPermanent: true })
    expect(kept.parent).toBe(delta.name)
    expect([full, delta, kept].map(({ name }) => isPermanent(name))).toEqual([true, true, true])
    const next = await push()
    expect(next.parent).toBeNull()
    expect(next.messages).toContain("INFO: Can't do a delta backup from permanent backup. Doing full backup.")
    expect((await push({ fromName: kept.name, isPermanent: true })).parent).toBe(kept.name)
  })
})

/** Restores a backup with the program, which checks every hash. */
async function fetch(name: string): Promise<string> {
  const target = path.join(repository.path, `restored-${name}`)
  const run = await runWalg(['backup-fetch', target, name], {
    env: { WALG_FILE_PREFIX: repository.path, WALG_TAR_DISABLE_FSYNC: 'true' },
  })
  expect([run.exit, run.exit === 0 ? '' : run.stderr]).toEqual([0, ''])
  return target
}

describe('a parent that cannot be built on', () => {
  const warned = async (spoil: (name: string) => void): Promise<string> => {
    await push()
    const parent = await push()
    spoil(parent.name)
    const { parent: used, messages } = await push()
    expect(used).toBeNull()
    return messages.find(line => line.startsWith('WARNING') && line.includes('Doing full backup')) ?? ''
  }
  const partOf = (name: string): string => {
    const part = readdirSync(fileOf(name, 'tar_partitions')).find(each => each.startsWith('part_'))
    return fileOf(name, 'tar_partitions', part!)
  }

  test('a cut sentinel of the newest backup', async () => {
    expect(await warned(name => truncateSync(fileOf(`${name}_backup_stop_sentinel.json`), 20))).toContain(
      'broken',
    )
  })
  test('no list of files', async () => {
    expect(await warned(name => rmSync(fileOf(name, 'files_metadata.json')))).toContain('files_metadata.json')
  })
  test('no metadata.json', async () => {
    expect(await warned(name => rmSync(fileOf(name, 'metadata.json')))).toContain('metadata.json')
  })
  test('a missing content manifest', async () => {
    expect(await warned(name => rmSync(fileOf(name, 'content_manifest.jsonl.lz4')))).toContain(
      'content_manifest',
    )
  })
  test('a missing part', async () => {
    expect(await warned(name => rmSync(partOf(name)))).toContain('part_')
  })
  test('a cut part', async () => {
    expect(await warned(name => truncateSync(partOf(name), statSync(partOf(name)).size - 1))).toContain(
      'part_',
    )
  })
  test('a missing full below it', async () => {
    expect(
      await warned(name => {
        const full = String(sentinelOf(name)['DeltaFullName'])
        rmSync(fileOf(`${full}_backup_stop_sentinel.json`))
      }),
    ).toContain('builds on')
  })

  test('a cut part and a garbled list of files in the full below it', async () => {
    const fullOf = (name: string): string => String(sentinelOf(name)['DeltaFullName'])
    expect(await warned(name => truncateSync(partOf(fullOf(name)), 10))).toMatch(
      /"tar_partitions\/part_001.*" of .*, which it builds upon, is missing or cut/,
    )
    expect(await warned(name => truncateSync(fileOf(fullOf(name), 'files_metadata.json'), 99))).toContain(
      '"files_metadata.json" of base_',
    )
  })

  test('sealed with a key that is not there any more', async () => {
    const pushSealed = async (key: string): Promise<string> => {
      await cluster.query('select pg_switch_wal()')
      const { exit, stderr } = await runWalg(['backup-push', cluster.dataDirectory], {
        env: {
          ...cluster.environment,
          WALG_FILE_PREFIX: repository.path,
          WALG_DELTA_MAX_STEPS: '5',
          ...(key === '' ? {} : { WALG_LIBSODIUM_KEY: key.repeat(32) }),
        },
      })
      expect([exit, stderr]).toEqual([0, expect.any(String)])
      return stderr
    }
    await pushSealed('a')
    expect(await pushSealed('a')).toContain('Delta backup enabled')
    const other = await pushSealed('b')
    expect(other).not.toContain('Delta backup enabled')
    expect(other).toMatch(/WARNING.*cannot be the parent of a delta: it is encrypted with the libsodium key/)
    await push()
    expect(await pushSealed('b')).toMatch(/WARNING.*: it is not encrypted, and now backups are/)
  })

  test('of which nothing can be used: no list of files was wanted', async () => {
    const parent = await push({ hasFilesMetadata: false })
    const next = await push()
    expect(next.parent).toBeNull()
    expect(next.messages).toContain(`INFO: Nothing of ${parent.name} can be used. Doing full backup.`)
  })

  test('of another cluster: an error, nothing is stored', async () => {
    await push()
    await using other = await startCluster({
      major: MAJOR,
      archiveCommand: walgCommand({ WALG_FILE_PREFIX: repository.at('other') }, 'wal-push %p'),
    })
    const context = await operationContext(repository.path)
    const options = pushOptions(other.dataDirectory, { cluster: other, delta: optionsOf({}).delta })
    const before = storedObjects(repository.path)
    const error = await failure(backupPush(context, options))
    expect(error.code).toBe('DELTA_BASE_INVALID')
    expect(error.message).toContain('Current database and database of base backup are not equal')
    expect(storedObjects(repository.path)).toEqual(before)
  })

  test('that is deleted while the delta is taken: no backup', async () => {
    const full = await push()
    const context = await operationContext(repository.path)
    const { log } = context
    const spoiling = {
      ...context,
      log: {
        ...log,
        info: (message: string): void => {
          if (message.startsWith('Calling pg_stop_backup')) {
            rmSync(fileOf(`${full.name}_backup_stop_sentinel.json`))
          }
          log.info(message)
        },
      },
    }
    expect((await failure(push({}, spoiling))).code).toBe('CHAIN_BROKEN')
    expect(listedBackups(repository.path)).toEqual([])
    expect(storedObjects(repository.path).filter(key => key.includes('_D_'))).toEqual([])
  })
})

describe('a chain', () => {
  test('another backup in the place of the parent is noticed when the delta is restored', async () => {
    const full = await push()
    const delta = await push()
    const file = fileOf(`${full.name}_backup_stop_sentinel.json`)
    const text = readFileSync(file, 'utf8')
    const link = (sentinelOf(full.name)['ContentManifest'] as { Hash: string }).Hash
    expect(sentinelOf(delta.name)['ContentManifest']).toMatchObject({ Parent: link })
    writeFileSync(file, text.replace(link, `xxh3-128:${'0'.repeat(32)}`))
    const { exit, stderr } = await runWalg(['backup-fetch', repository.at('other-parent'), delta.name], {
      env: { WALG_FILE_PREFIX: repository.path },
    })
    expect([exit, stderr]).toEqual([1, expect.stringContaining('its content manifest is not the one')])
  })

  test('is found good by verify, which reads every part of it', async () => {
    for (let step = 0; step < 3; step++) await push()
    for (const name of listedBackups(repository.path)) {
      const { exit, stderr } = await runWalg(['verify', name], { env: { WALG_FILE_PREFIX: repository.path } })
      expect([exit, exit === 0 ? '' : stderr]).toEqual([0, ''])
    }
  })

  test('goes on with the directory of a server that was shut down, and back', async () => {
    const full = await push()
    await cluster.query('create table at_rest as select g as id from generate_series(1, 1000) g')
    await cluster.stop()
    let name: string
    try {
      const context = await operationContext(repository.path)
      const pushed = await backupPush(context, optionsOf({}))
      expect(pushed.parent).toBe(full.name)
      name = pushed.name
    } finally {
      await cluster.start()
    }
    const target = await fetch(name)
    giveTreeToClusterUser(target)
    await using restored = await startRestored(target, {
      major: MAJOR,
      signal: 'none',
      until: 'promoted',
      settings: { archive_mode: 'off' },
    })
    expect(await restored.query('select count(*)::int as n from at_rest')).toEqual([{ n: 1000 }])
    expect((await push()).parent).toBe(name)
  })
})

describe('when a delta pays', () => {
  test('one larger than its share of a full is taken as a full, and the log says so', async () => {
    await push()
    const small = await push({ ratioMax: 0.5 })
    expect(small.parent).not.toBeNull()
    expect(small.messages.find(line => line.startsWith('INFO: The delta will hold '))).toBeString()
    await cluster.query('vacuum full')
    const large = await push({ ratioMax: 0.01 })
    expect(large.parent).toBeNull()
    expect(large.messages.find(line => line.includes('too much. Doing full backup'))).toBeString()
  })
})

describe('corrupt pages', () => {
  const spoil = async (): Promise<void> => {
    await cluster.query(
      'create table if not exists spoilt as select g as id from generate_series(1, 20000) g',
    )
    const [row] = await cluster.query<{ file: string }>(`select pg_relation_filepath('spoilt') as file`)
    // hint bits now, so that the server does not write the page again later
    await cluster.query('select count(*) from spoilt')
    await cluster.query('checkpoint')
    const fd = openSync(path.join(cluster.dataDirectory, row!.file), 'r+')
    writeSync(fd, Buffer.from('?'), 0, 1, 8192 * 3 + 5000)
    closeSync(fd)
  }

  test('are reported at the end with the names of their relations', async () => {
    await spoil()
    const { messages, corruptPagesCount } = await push({ isVerifying: true, stepsMax: 0 })
    expect(corruptPagesCount).toBe(1)
    const at = messages.indexOf('WARNING: 1 corrupt pages in 1 files:')
    expect(messages[at + 1]).toMatch(/^WARNING: public\.spoilt of database postgres "\/base\/\d+\/\d+": 3$/)
    // nothing has happened to the file since
    const { messages: ofDelta, corruptPagesCount: again } = await push({ isVerifying: true })
    expect([again, ofDelta]).toEqual([1, expect.arrayContaining([messages[at + 1]])])
  })

  test('fail the backup with WALG_FAIL_ON_CORRUPT, full or delta', async () => {
    await push()
    await spoil()
    await cluster.query('update spoilt set id = id where id = 20000')
    const error = await failure(push({ isVerifying: true, failsOnCorrupt: true }))
    expect(error.code).toBe('CHECKSUM_MISMATCH')
    expect(error.message).toContain('1 corrupt pages')
    expect(listedBackups(repository.path)).toHaveLength(1)
    expect((await failure(push({ isVerifying: true, failsOnCorrupt: true, isFull: true }))).code).toBe(
      'CHECKSUM_MISMATCH',
    )
    await cluster.query('drop table spoilt')
    mkdirSync(fileOf(), { recursive: true })
    expect((await push({ isVerifying: true, failsOnCorrupt: true })).parent).not.toBeNull()
  })
})
