import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, renameSync } from 'node:fs'
import path from 'node:path'
import type { Finished } from '../support/process.ts'
import { untilTrue } from '../support/until-true.ts'
import { runWalg } from '../support/walg.ts'
import { type ArchivingCluster, startArchivingCluster } from './archiving-cluster.ts'

let archiving: ArchivingCluster
const SEGMENTS_MIN = 8

const walFolder = (): string => path.join(archiving.repository, 'wal_005')
const segments = (): string[] =>
  readdirSync(walFolder())
    .filter(name => /^[0-9A-F]{24}\./.test(name))
    .sort()

beforeAll(async () => {
  archiving = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
  const { cluster } = archiving
  await cluster.query('create table t (a int)')
  const push = await runWalg(['backup-push', cluster.dataDirectory], { env: archiving.connection() })
  if (push.exit !== 0) throw new Error(push.stderr)
  for (let switches = 0; switches < SEGMENTS_MIN; switches += 1) {
    await cluster.query('insert into t values (1)')
    await cluster.query('select pg_switch_wal()')
  }
  await untilTrue(async () => {
    const [row] = await cluster.query<{ done: boolean }>(
      'select last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1048577) as done from pg_stat_archiver',
    )
    return row?.done === true
  })
}, 60_000)
afterAll(() => archiving[Symbol.asyncDispose]())

function verify(args: readonly string[], more: Record<string, string> = {}): Promise<Finished> {
  const env = { ...archiving.connection(), WALG_UPLOAD_CONCURRENCY: '2', ...more }
  return runWalg(['wal-verify', 'integrity', 'timeline', ...args], { env })
}

/** Runs `body` while one archived segment is not there. */
async function without(name: string, body: () => Promise<void>): Promise<void> {
  const [from, to] = [path.join(walFolder(), name), path.join(archiving.repository, name)]
  renameSync(from, to)
  try {
    await body()
  } finally {
    renameSync(to, from)
  }
}

describe('wal-verify beside a running server', () => {
  test('asks it where it writes, and finds the archive whole', async () => {
    const run = await verify(['--json', '--exit-code'])
    const { integrity, timeline } = JSON.parse(run.stdout) as Record<string, { status: string }>
    expect([run.exit, integrity?.status, timeline?.status]).toEqual([0, 'OK', 'OK'])
  })

  test('a lost segment is FAILURE: status 0 as with the original, 4 when the status is asked for', async () => {
    const lost = segments().at(-5)!
    await without(lost, async () => {
      const plain = await verify([])
      expect(plain.exit).toBe(0)
      expect(plain.stdout).toContain('MISSING_LOST')
      expect((await verify(['--exit-code'])).exit).toBe(4)
      expect((await verify([], { WALG_VERIFY_EXIT_CODE: 'true' })).exit).toBe(4)
    })
  })

  test('one that may still be on its way is WARNING: status 3 when the status is asked for', async () => {
    const young = segments().at(-1)!
    await without(young, async () => {
      const run = await verify(['--exit-code'])
      expect(run.stdout).toContain('MISSING_UPLOADING')
      expect(run.exit).toBe(3)
    })
  })
})
