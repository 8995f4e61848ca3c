import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LATER_COMMANDS } from '../../../src/cli/command-list.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres, projectRoot } from '../../support/postgres-binaries.ts'
import { findDebianPostgresTool, findTool, testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { startWalgAsCluster } from '../archiving-cluster.ts'
import { type Block, readBlocks } from './document-blocks.ts'
import { isNamed, isRestore, README, runBlock, runnable, setUp } from './document-steps.ts'
import { ScratchHost } from './scratch-host.ts'

const GUIDE = 'docs/guide/restore.md'
const DOCUMENTS = [
  README,
  ...readdirSync(path.join(projectRoot, 'docs/guide')).map(name => `docs/guide/${name}`),
]
const RUNNABLE = new Set(['sh', 'sql', 'ini', 'yaml'])
const ZSTD_MAGIC = '28b52ffd'
const COUNT_SQL = 'select count(*)::int as n from payments'

async function untilArchived(host: ScratchHost): Promise<void> {
  const sql = `select pg_logical_emit_message(true, '', ''), pg_walfile_name(pg_switch_wal()) as name`
  const [row] = await host.cluster.query<{ name: string }>(sql)
  const isThere = (): boolean => existsSync(host.place.at('srv/main/wal_005', `${row!.name}.zst`))
  await untilTrue(isThere, 60_000, `the archiving of ${row!.name}`)
}

/** The archiver fails, more is written, and the server dies. */
async function dieWithoutArchiving(host: ScratchHost): Promise<string> {
  const { cluster } = host
  await untilArchived(host)
  await cluster.query(`alter system set archive_command = 'false'`)
  await cluster.reload()
  await Bun.sleep(100)
  await cluster.query('insert into payments values (1001)')
  const [row] = await cluster.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name')
  await cluster.query('insert into payments values (1002)')
  await cluster.kill()
  return row!.name
}

/** A fetch that is killed in the middle. */
async function interruptFetch(host: ScratchHost): Promise<void> {
  rmSync(host.restored, { recursive: true })
  const fetch = startWalgAsCluster(
    ['--config', host.place.at('etc/wal-g.yaml'), 'backup-fetch', host.restored, 'LATEST'],
    { WALG_NETWORK_RATE_LIMIT: '1000000' },
  )
  const isUnderWay = (): boolean => existsSync(path.join(host.restored, 'wal-g_fetch_state'))
  await untilTrue(isUnderWay, 30_000, 'the fetch beginning')
  fetch.kill()
  expect((await fetch.finished).signal).toBe('SIGKILL')
  expect(existsSync(path.join(host.restored, 'global/pg_control'))).toBe(false)
}

for (const major of [13, 18] as const) {
  const isEncrypted = major === 18
  const title = `every command of README.md works on PostgreSQL ${major} in the order of the page, ${isEncrypted ? 'with' : 'without'} encryption`
  const follow = async (): Promise<void> => {
    await using host = await setUp(major, isEncrypted)
    await untilArchived(host)
    const isLeft = (block: Block): boolean =>
      block.attributes.get('run') !== 'encrypt' && (isRestore(block) || isNamed(block))
    for (const block of runnable(README, major).filter(isLeft)) {
      const name = block.attributes.get('run')
      if (name === 'rescue') {
        const last = await dieWithoutArchiving(host)
        await runBlock(host, block)
        expect(existsSync(host.place.at('srv/main/wal_005', `${last}.zst`))).toBe(true)
      } else if (name === 'resume') {
        await interruptFetch(host)
        await runBlock(host, block)
        expect(existsSync(path.join(host.restored, 'global/pg_control'))).toBe(true)
      } else {
        const forget = host.stopRestoredAtEnd()
        await runBlock(host, block)
        await untilTrue(
          async () => (await host.ask('select pg_is_in_recovery() as r'))[0]?.['r'] === false,
          30_000,
          'promotion',
        )
        expect(await host.ask(COUNT_SQL)).toEqual([{ n: 1000 }])
        await host.stopRestored()
        forget()
      }
    }
    const wal = host.place.at('srv/main/wal_005')
    const heads = readdirSync(wal).map(name =>
      readFileSync(path.join(wal, name)).subarray(0, 4).toString('hex'),
    )
    expect(heads.length).toBeGreaterThan(3)
    expect(heads.filter(head => (head === ZSTD_MAGIC) === isEncrypted)).toEqual([])
    const unit = readFileSync(host.place.at('systemd/wal-g-backup.service'), 'utf8')
    expect(unit).toContain(`ExecStart=${host.localise('/usr/bin/wal-g')} --config`)
  }
  testUnless(missingPostgres(major), title, follow, 120_000)
}

testUnless(
  missingPostgres(15),
  'the restore guide, followed step by step, brings a dropped table back to the noted time',
  async () => {
    await using host = await setUp(15)
    const { cluster } = host
    const [row] = await cluster.query<{ noted: string }>('select clock_timestamp()::text as noted')
    await Bun.sleep(5)
    await cluster.query('drop table payments')
    await cluster.query('create table payments as select 1 as id')
    const blocks = runnable(GUIDE, 15)
    const named = (name: string): Block => blocks.find(block => block.attributes.get('run') === name)!
    await runBlock(host, named('switch'))
    await dieWithoutArchiving(host)
    await runBlock(host, named('rescue'))
    await runBlock(host, blocks.find(block => block.text.includes('backup-list'))!)
    await runBlock(host, named('fetch'))
    if (findDebianPostgresTool('pg_verifybackup') !== undefined) {
      await runBlock(host, blocks.find(block => block.attributes.get('needs') === 'pg_verifybackup')!)
    }
    await host.shell(named('target'), text => text.replace('2026-11-22 14:28:09+00', row!.noted))
    const forget = host.stopRestoredAtEnd()
    await runBlock(host, named('start'))
    await untilTrue(
      () => readFileSync(`${host.restored}.log`, 'utf8').includes('pausing at the end of recovery'),
      30_000,
      'the pause',
    )
    const [look] = await host.sql(named('look'), host.restoredPort)
    expect(look?.['pg_is_in_recovery']).toBe(true)
    // as the guide says: the lock of the DROP has been replayed
    await expect(host.ask(`set lock_timeout = '1s'; ${COUNT_SQL}`)).rejects.toThrow('lock timeout')
    await host.sql(named('resume'), host.restoredPort)
    const isOpen = async (): Promise<boolean> =>
      (await host.ask('select pg_is_in_recovery() as r'))[0]?.['r'] === false
    await untilTrue(isOpen, 30_000, 'promotion')
    expect(await host.ask(COUNT_SQL)).toEqual([{ n: 1000 }])
    await host.ask('create extension amcheck')
    const [checked] = await host.sql(named('amcheck'), host.restoredPort)
    expect(Number(checked?.['btrees_in_order'])).toBeGreaterThan(100)
    await host.stopRestored()

    const configuration = path.join(host.restored, 'postgresql.conf')
    const lines = readFileSync(configuration, 'utf8').split('\n')
    const kept = lines.filter(line => !/^(recovery_target|archive_mode = off)/.test(line))
    writeFileSync(configuration, kept.join('\n'))
    rmSync(path.join(host.restored, 'postgresql.auto.conf')) // the archive_command that the test broke
    const place = 'the restart of step 9'
    const text = `pg_ctl -D ${host.restored} -o '-p 5432' -l ${host.restored}.log -w start`
    await host.shell({ place, language: 'sh', attributes: new Map(), text })
    await runBlock(host, named('backup'))
    await host.stopRestored()
    forget()
  },
  120_000,
)

testUnless(
  missingPostgres(18),
  'without a target the guide brings back even the last segment, which nobody had finished',
  async () => {
    await using host = await setUp(18)
    const blocks = runnable(GUIDE, 18)
    const named = (name: string): Block => blocks.find(block => block.attributes.get('run') === name)!
    await dieWithoutArchiving(host)
    for (const name of ['rescue', 'fetch', 'last']) await runBlock(host, named(name))
    await host.shell(named('target'), text => text.replace(/^recovery_target.*\n/gm, ''))
    const forget = host.stopRestoredAtEnd()
    await runBlock(host, named('start'))
    await untilTrue(async () => (await host.ask(COUNT_SQL))[0]?.['n'] === 1002, 30_000, 'every row')
    const ends = await host.shell(blocks.find(block => block.text.includes('restored log file'))!)
    const [restored = '', ...newest] = ends.trim().split('\n')
    expect(newest.at(-1)).toContain(/"(\w{24})"/.exec(restored)?.[1] ?? 'a segment')
    await host.stopRestored()
    forget()
  },
  120_000,
)

test('README.md names the commands that are not there yet, all and only those', () => {
  const text = readFileSync(path.join(projectRoot, README), 'utf8')
  const line = /^\* The commands [^:]*/m.exec(text)?.[0] ?? ''
  expect([...line.matchAll(/`([\w-]+)`/g)].map(([, name]) => name)).toEqual([...LATER_COMMANDS])
})

describe.each(DOCUMENTS.map(name => [name] as [string]))('%s', document => {
  const text = readFileSync(path.join(projectRoot, document), 'utf8')

  test('has no command that is neither run by a test nor left out for a reason', () => {
    const forgotten = readBlocks(document).filter(
      ({ attributes, language }) =>
        !RUNNABLE.has(language) || (!attributes.has('run') && (attributes.get('skip') ?? '').length < 10),
    )
    expect(forgotten.map(({ place }) => place)).toEqual([])
  })

  test('links to what there is', () => {
    const broken: string[] = []
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const found = file === '' ? document : path.join(path.dirname(document), file)
      if (!existsSync(path.join(projectRoot, found))) broken.push(target)
      else if (anchor !== undefined && !anchorsOf(found).includes(anchor)) broken.push(target)
    }
    expect(broken).toEqual([])
  })

  test('names settings, npm commands and release files that exist', () => {
    const reference = readFileSync(path.join(projectRoot, 'docs/reference/settings.md'), 'utf8')
    const names = [...text.matchAll(/\b(?:WALG_[A-Z_]+|PG(?:HOST|PORT|USER|DATABASE|PASSFILE)|PGDATA)\b/g)]
    expect(names.map(([name]) => name).filter(name => !reference.includes(`\`${name}\``))).toEqual([])
    const { scripts, version } = JSON.parse(readFileSync(path.join(projectRoot, 'package.json'), 'utf8'))
    const commands = [...text.matchAll(/npm (?:run )?(test|demo|release|build|check)\b/g)]
    expect(commands.map(([, name]) => name).filter(name => scripts[name!] === undefined)).toEqual([])
    for (const [, release] of text.matchAll(/wal-g_([\d.]+)_amd64\.deb/g)) expect(release).toBe(version)
  })
})

function anchorsOf(document: string): string[] {
  const headings = readFileSync(path.join(projectRoot, document), 'utf8').matchAll(/^#+ (.+)$/gm)
  return [...headings].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

testUnless(
  findTool('systemd-analyze') === undefined ? 'not installed: systemd-analyze' : undefined,
  'systemd accepts the service and the timer of README.md',
  async () => {
    await using host = await ScratchHost.open(18)
    const units = runnable(README, 18).filter(block => block.attributes.get('file')?.includes('systemd'))
    expect(units.length).toBe(2)
    for (const block of units) await runBlock(host, block)
    const { spawnSync } = await import('node:child_process')
    const files = units.map(block => host.place.at('systemd', path.basename(block.attributes.get('file')!)))
    giveToClusterUser(host.place.at('systemd'))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', ...files], { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  },
)
