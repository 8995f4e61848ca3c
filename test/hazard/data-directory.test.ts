import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { startCluster, startRestored } from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import { untilTrue } from '../support/until-true.ts'
import { startWalg, walgCommand } from '../support/walg.ts'
import { errorsOf, openScene, pushBackup, type Scene } from './sample.ts'

const NAMES = ['with space', 'größe-数', 'new\nline', 'quote\'"\\', 'x'.repeat(200), '%f %p']
const USER_DATA = '{"big":12345678901234567890,"text":"<ü>","order":{"z":1,"a":2}}'

let scene: Scene

beforeAll(async () => {
  scene = await openScene()
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

function inData(...names: string[]): string {
  return path.join(scene.cluster.dataDirectory, ...names)
}

function write(name: string, content: string): void {
  writeFileSync(inData(name), content)
  giveToClusterUser(inData(name))
}

async function failedPush(directory: string, asClusterUser = false): Promise<string> {
  const known = scene.repository.sentinels()
  const run = await scene.repository.run(['backup-push', directory], { env: scene.env, asClusterUser })
  expect(run.exit).toBe(1)
  expect(scene.repository.sentinels()).toEqual(known)
  return errorsOf(run)
}

async function restore(backup: string, name: string) {
  const target = scene.place.at(name)
  const run = await scene.repository.run(['backup-fetch', target, backup])
  expect([run.exit, errorsOf(run)]).toEqual([0, expect.any(String)])
  return target
}

function startOn(target: string) {
  return startRestored(target, {
    major: 17,
    settings: {
      restore_command: walgCommand(scene.repository.env, 'wal-fetch %f %p'),
      recovery_target: 'immediate',
      recovery_target_action: 'promote',
    },
  })
}

describe('backup-push refuses a directory that is not the one', () => {
  test('missing, a file, without PG_VERSION, not readable', async () => {
    mkdirSync(scene.place.at('empty'))
    for (const name of ['missing', 'repository', 'empty']) {
      expect(await failedPush(scene.place.at(name))).toContain(scene.place.at(name))
    }
    expect(await failedPush(inData('PG_VERSION'))).toContain('PG_VERSION')
    mkdirSync(scene.place.at('closed'))
    chmodSync(scene.place.at('closed'), 0)
    expect(await failedPush(scene.place.at('closed'), true)).toContain(scene.place.at('closed'))
    // a user who is not root cannot look into it to remove it
    rmdirSync(scene.place.at('closed'))
  })

  test('one with a FIFO in the place of a file that is read first', async () => {
    for (const name of ['PG_VERSION', 'global/pg_control']) {
      const data = scene.place.at(`fifo-${path.basename(name)}`)
      mkdirSync(path.join(data, 'global'), { recursive: true })
      writeFileSync(path.join(data, 'PG_VERSION'), '17\n')
      rmSync(path.join(data, name), { force: true })
      expect(spawnSync('mkfifo', [path.join(data, name)]).status).toBe(0)
      expect(await failedPush(data)).toContain(`${name}": not a regular file`)
    }
  })

  test('the directory of another server than the one that answers', async () => {
    await using other = await startCluster({ major: 17, segmentSizeMiB: 1 })
    const error = await failedPush(other.dataDirectory)
    expect(error).toContain(other.dataDirectory)
  }, 60_000)

  test('a server that does not answer: an error with the address, no other server is tried', async () => {
    const run = await scene.repository.run(['backup-push', scene.cluster.dataDirectory], {
      env: { ...scene.env, PGPORT: '1' },
    })
    expect(run.exit).toBe(1)
    expect(errorsOf(run)).toContain('127.0.0.1')
  })

  test('one with a file that may not be read, or with a name that is not UTF-8, is refused with the name', async () => {
    write('base/secret', 'x')
    if (process.getuid?.() === 0) spawnSync('chown', ['0:0', inData('base/secret')])
    chmodSync(inData('base/secret'), 0)
    expect(await failedPush(scene.cluster.dataDirectory, true)).toContain('base/secret')
    rmSync(inData('base/secret'))
    const bad = Buffer.concat([Buffer.from(inData('bad-')), Buffer.from([0xff, 0xfe])])
    writeFileSync(bad, 'x')
    expect(await failedPush(scene.cluster.dataDirectory)).toContain('bad-')
    rmSync(bad)
  })
})

test('everything odd that may lie in a data directory is backed up right or said, and the restored server starts', async () => {
  for (const [number, name] of NAMES.entries()) write(name, `content ${number}`)
  mkdirSync(scene.place.at('elsewhere'))
  giveToClusterUser(scene.place.at('elsewhere'), 0o755)
  await scene.cluster.stop()
  for (const name of ['pg_wal', 'pg_ident.conf']) {
    renameSync(inData(name), scene.place.at('elsewhere', name))
    symlinkSync(scene.place.at('elsewhere', name), inData(name))
  }
  symlinkSync('/etc/hostname-of-nobody', inData('dangling'))
  symlinkSync('/etc', inData('foreign'))
  expect(spawnSync('mkfifo', [inData('pipe')]).status).toBe(0)
  const server = createServer()
  await new Promise<void>(resolve => server.listen(inData('socket'), resolve))
  await scene.cluster.start()
  const known = scene.repository.sentinels()
  const run = await scene.repository.run(
    ['backup-push', scene.cluster.dataDirectory, '--permanent', '--add-user-data', USER_DATA],
    { env: scene.env },
  )
  server.close()
  expect([run.exit, errorsOf(run)]).toEqual([0, expect.any(String)])
  const warnings = run.stderr.split('\n').filter(line => line.startsWith('WARNING'))
  for (const odd of ['pipe', 'socket', 'dangling', 'foreign', 'pg_wal', 'pg_ident.conf']) {
    expect([odd, warnings.some(line => line.includes(`/${odd}"`))]).toEqual([odd, true])
  }
  const backup = scene.repository.sentinels().find(one => !known.includes(one))!

  const target = await restore(backup, 'odd')
  for (const [number, name] of NAMES.entries()) {
    expect(readFileSync(path.join(target, name), 'utf8')).toBe(`content ${number}`)
  }
  for (const odd of ['pipe', 'socket', 'dangling', 'foreign'])
    expect(existsSync(path.join(target, odd))).toBe(false)
  expect(lstatSync(path.join(target, 'pg_wal')).isDirectory()).toBe(true)
  expect(lstatSync(path.join(target, 'pg_ident.conf')).isFile()).toBe(true)
  expect(readFileSync(path.join(target, 'pg_ident.conf'), 'utf8')).toBe(
    readFileSync(inData('pg_ident.conf'), 'utf8'),
  )
  expect(statSync(target).mode & 0o7777).toBe(0o700)
  {
    await using restored = await startOn(target)
    expect(await restored.query('select count(*)::int as n from t')).toEqual([{ n: 2000 }])
  }

  const sentinel = readFileSync(scene.repository.backupPath(`${backup}_backup_stop_sentinel.json`), 'utf8')
  expect(sentinel).toContain('"big":12345678901234567890')
  const list = await scene.repository.run(['backup-list', '--detail', '--json'])
  expect(list.stdout).toContain('12345678901234567890')
  const byData = await scene.repository.run([
    'backup-fetch',
    scene.place.at('by-data'),
    '--target-user-data',
    '{"order":{"a":2,"z":1},"text":"<ü>","big":12345678901234567890}',
  ])
  expect([byData.exit, errorsOf(byData)]).toEqual([0, expect.any(String)])
  const rounded = await scene.repository.run([
    'backup-fetch',
    scene.place.at('by-other-data'),
    '--target-user-data',
    '{"order":{"a":2,"z":1},"text":"<ü>","big":12345678901234567891}',
  ])
  expect(rounded.exit).toBe(1)
}, 90_000)

test('LSNs, the system identifier and file times are kept to the last digit', async () => {
  write('timed', 'x')
  expect(spawnSync('touch', ['-d', '2026-03-04T05:06:07.123456789Z', inData('timed')]).status).toBe(0)
  const backup = await pushBackup(scene)
  const sentinel = readFileSync(scene.repository.backupPath(`${backup}_backup_stop_sentinel.json`), 'utf8')
  const [row] = await scene.cluster.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  )
  expect(sentinel).toContain(`"SystemIdentifier":${row!.id},`)
  const files = readFileSync(scene.repository.backupPath(backup, 'files_metadata.json'), 'utf8')
  const time = /"\/timed":\{[^}]*"MTime":"([^"]+)"/.exec(files)![1]!
  const zoned = /^(.*\.123456789)(Z|[+-]\d\d:\d\d)$/.exec(time)!
  expect(new Date(`${zoned[1]!.slice(0, 19)}${zoned[2]}`).toISOString()).toBe('2026-03-04T05:06:07.000Z')
  const label = await restore(backup, 'exact')
  const start = /START WAL LOCATION: ([0-9A-F]+)\/([0-9A-F]+)/.exec(
    readFileSync(path.join(label, 'backup_label'), 'utf8'),
  )!
  const lsn = (BigInt(`0x${start[1]}`) << 32n) | BigInt(`0x${start[2]}`)
  expect(sentinel).toContain(`"LSN":${lsn},`)
}, 60_000)

test('files that grow, shrink, vanish and appear while they are read do not hurt the backup', async () => {
  const names = Array.from({ length: 12 }, (_, number) => `moving-${number}`)
  for (const name of names) write(name, 'a'.repeat(300_000))
  const run = startWalg(['backup-push', scene.cluster.dataDirectory], {
    env: { ...scene.env, WALG_DISK_RATE_LIMIT: '12000000' },
  })
  await untilTrue(() => run.stderr().includes('Packing'))
  let isRunning = true
  void run.finished.then(() => {
    isRunning = false
  })
  for (let round = 0; isRunning; round++) {
    for (const [number, name] of names.entries()) {
      const file = inData(name)
      const turn = (round + number) % 4
      if (turn === 0) appendFileSync(file, 'b'.repeat(100_000))
      else if (turn === 1) truncateSync(file, 1000)
      else if (turn === 2) rmSync(file)
      else writeFileSync(file, 'c'.repeat(200_000))
    }
    await scene.cluster.query(`create table moving_${round} as select 1 as a; drop table moving_${round}`)
    await scene.cluster.query('insert into t values (0, null)')
  }
  const { exit, stderr } = await run.finished
  expect([exit, stderr.split('\n').filter(line => line.startsWith('ERROR'))]).toEqual([0, []])
  for (const name of names) rmSync(inData(name), { force: true })
  const target = await restore('LATEST', 'moving')
  await using restored = await startOn(target)
  expect(await restored.query('select count(*)::int as n from t where g > 0')).toEqual([{ n: 2000 }])
}, 90_000)

test('a stopped server whose last segment is a recycled file is backed up without it running', async () => {
  const { cluster } = scene
  for (let round = 0; round < 6; round++)
    await cluster.query('insert into t values (-1, null); select pg_switch_wal(); checkpoint')
  await cluster.stop()
  const backup = await pushBackup(scene)
  await cluster.start()
  const target = await restore(backup, 'at-rest')
  await using restored = await startRestored(target, { major: 17, signal: 'none' })
  expect(await restored.query('select count(*)::int as n from t where g > 0')).toEqual([{ n: 2000 }])
}, 60_000)
