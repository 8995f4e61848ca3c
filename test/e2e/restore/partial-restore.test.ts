import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import type { Finished } from '../../support/process.ts'
import { startProcess } from '../../support/process.ts'
import { missingReference, reference, testUnless } from '../../support/skip.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import { type ArchivingCluster, startArchivingCluster } from '../archiving-cluster.ts'

const SCHEMA = `
  create schema sales;
  create table kept (id serial primary key, long text, number int);
  alter table kept alter long set storage external;
  insert into kept (long, number)
    select (select string_agg(md5((g * 100 + n)::text), '') from generate_series(1, 100) n), g
    from generate_series(1, 200) g;
  create index kept_number on kept (number);
  create table gone as select g, md5(g::text) from generate_series(1, 5000) g;
  create schema "S.x";
  create table "S.x"."T/a b" as select g from generate_series(1, 50) g;
  create table sales.orders as select g from generate_series(1, 300) g;
  create table part (id int, place text) partition by list (place);
  create table part_north partition of part for values in ('north');
  create table sales.part_south partition of part for values in ('south');
  insert into part select g, case when g % 2 = 0 then 'north' else 'south' end from generate_series(1, 100) g;
`

async function queryIn(cluster: Cluster, database: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = await cluster.client({ database })
  try {
    await client.query('set enable_seqscan = off')
    const { rows } = await client.query(sql)
    return rows as Record<string, unknown>[]
  } finally {
    await client.end()
  }
}

for (const major of [13, 18] as const) {
  describe(`backup-fetch --restore-only on PostgreSQL ${major}`, () => {
    let archiving: ArchivingCluster
    let count = 0

    beforeAll(async () => {
      archiving = await startArchivingCluster({ major })
      const { cluster } = archiving
      for (const database of ['app', 'other']) {
        await cluster.query(`create database ${database}`)
        await queryIn(cluster, database, SCHEMA)
      }
      const push = await runWalg(['backup-push', cluster.dataDirectory], { env: archiving.connection() })
      if (push.exit !== 0) throw new Error(push.stderr)
    }, 60_000)
    afterAll(() => archiving[Symbol.asyncDispose]())

    async function fetch(items: string): Promise<{ directory: string; run: Finished }> {
      count += 1
      const directory = archiving.place.at(`partial-${count}`)
      const run = await runWalg(['backup-fetch', directory, 'LATEST', `--restore-only=${items}`], {
        env: archiving.settings,
      })
      return { directory, run }
    }

    async function start(directory: string): Promise<Cluster> {
      giveTreeToClusterUser(directory)
      return startRestored(directory, {
        major: major as Major,
        settings: {
          restore_command: walgCommand(archiving.settings, 'wal-fetch %f %p'),
          recovery_target: 'immediate',
          recovery_target_action: 'promote',
        },
      })
    }

    test('restores the tables that were named, with TOAST, indexes, sequences and partitions, and says what it left out', async () => {
      const { directory, run } = await fetch('app/kept,app/part*')
      expect(run.exit).toBe(0)
      for (const name of ['app/public.gone', 'app/sales.orders', 'other/public.kept']) {
        expect(run.stderr).toContain(`Left out: ${name}\n`)
      }
      for (const name of ['app/public.kept', 'app/sales.part_south']) {
        expect(run.stderr).not.toContain(`Left out: ${name}\n`)
      }
      await using restored = await start(directory)
      const query = (sql: string): Promise<Record<string, unknown>[]> => queryIn(restored, 'app', sql)
      expect(await query('select count(*)::int as n, sum(length(long))::int as bytes from kept')).toEqual([
        { n: 200, bytes: 200 * 3200 },
      ])
      expect(await query('select id from kept where number = 77')).toEqual([{ id: 77 }])
      expect(await query('select count(*)::int as n from part')).toEqual([{ n: 100 }])
      expect(await query(`insert into kept (number) values (1) returning id`)).toEqual([{ id: 201 }])
      await expect(query('select count(*) from gone')).rejects.toThrow()
      await expect(queryIn(restored, 'other', 'select count(*) from kept')).rejects.toThrow()
    }, 60_000)

    test('restores a whole database, and leaves the others behind', async () => {
      const { directory, run } = await fetch('oth*')
      expect(run.exit).toBe(0)
      await using restored = await start(directory)
      const [row] = await queryIn(restored, 'other', 'select count(*)::int as n from sales.orders')
      expect(row).toEqual({ n: 300 })
      await expect(queryIn(restored, 'app', 'select 1 from kept')).rejects.toThrow()
    }, 60_000)

    test('takes a name of any letters as it is listed, or with its quotes, and blanks around items', async () => {
      for (const items of ['app/S.x.T/a b, other/kept', 'other/kept ,app/"S.x"."T/a b"']) {
        const { directory, run } = await fetch(items)
        expect([run.exit, run.stderr]).toEqual([0, expect.stringContaining('Left out: other/S.x.T/a b\n')])
        await using restored = await start(directory)
        const [row] = await queryIn(restored, 'app', 'select count(*)::int as n from "S.x"."T/a b"')
        expect(row).toEqual({ n: 50 })
      }
    }, 60_000)

    test('a name that matches nothing is an error before anything is written', async () => {
      const { directory, run } = await fetch('app/kept,app/public.nosuch')
      expect(run.exit).toBe(1)
      expect(run.stderr).toContain('nothing in the backup is named "app/public.nosuch"')
      expect(run.stderr).toContain('public.gone')
      expect(await Bun.file(`${directory}/PG_VERSION`).exists()).toBe(false)
    })

    testUnless(missingReference(), 'the original restores the same tables of our backup', async () => {
      const directory = archiving.place.at('partial-original')
      const run = await startProcess(
        reference()!,
        ['backup-fetch', directory, 'LATEST', '--restore-only=app/kept,app/part'],
        { env: { ...archiving.settings, PATH: process.env['PATH'] } },
      ).finished
      expect(run.exit).toBe(0)
    })
  })
}
