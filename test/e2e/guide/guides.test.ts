import { expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { findTool, testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import type { Block } from './document-blocks.ts'
import { README, runBlock, runnable, setUp } from './document-steps.ts'
import { ScratchHost } from './scratch-host.ts'

const MAJOR = 17
const isUnit = (block: Block): boolean => block.attributes.get('file')?.includes('systemd') === true

/** Runs the blocks of a guide in order, but for those that need a program that is not installed. */
async function follow(host: ScratchHost, document: string): Promise<void> {
  for (const block of runnable(document, MAJOR)) {
    const needed = block.attributes.get('needs')
    if (needed === undefined || findTool(needed) !== undefined) await runBlock(host, block)
  }
}

async function untilArchived(host: ScratchHost): Promise<void> {
  const sql = `select pg_logical_emit_message(true, '', ''), pg_walfile_name(pg_switch_wal()) as name`
  const [row] = await host.cluster.query<{ name: string }>(sql)
  const isThere = async (): Promise<boolean> => {
    const [state] = await host.cluster.query<{ last: string | null }>(
      'select last_archived_wal as last from pg_stat_archiver',
    )
    return (state?.last ?? '').slice(0, 24) >= row!.name
  }
  await untilTrue(isThere, 60_000, `the archiving of ${row!.name}`)
}

testUnless(
  missingPostgres(MAJOR),
  'every command of the guide to running it works, and the drill of it succeeds',
  async () => {
    await using host = await setUp(MAJOR)
    await untilArchived(host)
    await follow(host, 'docs/guide/operate.md')
    const report = JSON.parse(readFileSync(host.place.at('postgresql/drill.json'), 'utf8'))
    expect([report.result, report.findings]).toEqual(['OK', []])
    const listed = await host.shell({
      place: 'the list',
      language: 'sh',
      attributes: new Map(),
      text: 'wal-g --config /etc/wal-g/wal-g.yaml backup-list --json',
    })
    expect(JSON.parse(listed.slice(listed.indexOf('[{')).split('\n')[0]!)).toHaveLength(2)
  },
  180_000,
)

testUnless(
  missingPostgres(MAJOR),
  'the guide back to a point in time brings back what a restore point marks',
  async () => {
    await using host = await setUp(MAJOR)
    const blocks = runnable('docs/guide/pitr.md', MAJOR)
    const named = (name: string): Block => blocks.find(block => block.attributes.get('run') === name)!
    expect(blocks.length).toBe(5)
    await runBlock(host, named('mark'))
    await host.cluster.query('drop table payments')
    await untilArchived(host)
    await runBlock(host, named('prove'))
    const forget = host.stopRestoredAtEnd()
    await runBlock(host, named('restore'))
    const [look] = await host.sql(named('look'), host.restoredPort)
    expect(look).toMatchObject({ pg_is_in_recovery: true, pg_is_wal_replay_paused: true })
    expect(await host.ask('select count(*)::int as n from payments')).toEqual([{ n: 1000 }])
    await host.sql(named('resume'), host.restoredPort)
    await untilTrue(
      async () => (await host.ask('select pg_is_in_recovery() as r'))[0]?.['r'] === false,
      30_000,
      'promotion',
    )
    await host.stopRestored()
    forget()
  },
  120_000,
)

testUnless(
  missingPostgres(MAJOR),
  'every command of the guide from the original works',
  async () => {
    await using host = await setUp(MAJOR)
    await untilArchived(host)
    await follow(host, 'docs/guide/from-wal-g.md')
  },
  180_000,
)

testUnless(
  missingPostgres(MAJOR),
  'the guide from pgBackRest leads from a server that archives elsewhere to a backup that was proved',
  async () => {
    await using host = await ScratchHost.open(MAJOR)
    const { cluster } = host
    const steps = runnable(README, MAJOR).filter(
      block => block.text.includes('CREATE ROLE') || block.text.includes('cat > /etc/wal-g/wal-g.yaml'),
    )
    expect(steps.length).toBe(2)
    for (const block of steps) await runBlock(host, block)
    cluster.configure({ archive_mode: 'on', archive_command: 'true', archive_timeout: '60s' })
    await cluster.stop()
    await cluster.start()
    await untilArchived(host)
    for (const block of runnable('docs/guide/from-pgbackrest.md', MAJOR)) {
      if (block.attributes.get('run') === 'change') {
        // as psql does: one statement after the other
        for (const statement of host.localise(block.text).split(/;\n/)) {
          if (statement.trim() !== '') await cluster.query(statement)
        }
        await untilArchived(host)
      } else if (block.attributes.get('run') === 'before') {
        const said = await host.shell(block)
        expect(said).toContain('there is no backup')
        expect(said).toContain('archive_command does not call wal-push')
        expect(said).toContain('\n2 to fix')
      } else await runBlock(host, block)
    }
  },
  180_000,
)

testUnless(
  findTool('systemd-analyze') === undefined ? 'not installed: systemd-analyze' : undefined,
  'systemd accepts the services and timers of the guide to running it',
  async () => {
    await using host = await ScratchHost.open(MAJOR)
    const units = runnable('docs/guide/operate.md', MAJOR).filter(isUnit)
    expect(units.length).toBe(4)
    for (const block of units) await runBlock(host, block)
    const files = units.map(block => host.place.at('systemd', path.basename(block.attributes.get('file')!)))
    giveToClusterUser(host.place.at('systemd'))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', ...files], { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  },
)
