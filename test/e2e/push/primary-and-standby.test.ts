import { expect } from 'bun:test'
import { rmSync } from 'node:fs'
import type { Cluster } from '../../support/cluster.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import type { Finished, Started } from '../../support/process.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  LEDGER_SQL,
  startArchivingCluster,
  startStandby,
  startWalgAsCluster,
  untilReplayed,
  walg,
} from '../archiving-cluster.ts'
import { listedBackups } from './backup-push-support.ts'

const MAJOR = 17
/** A few seconds for a push: two of them overlap. */
const SLOW = { WALG_DISK_RATE_LIMIT: '10000000' }
/** Parts that appear while the push runs; else they do so at its end, and the other push has seen none when it began. */
const SMALL_PARTS = { WALG_TAR_SIZE_THRESHOLD: '6000000' }

interface PushedPair {
  readonly source: ArchivingCluster
  readonly standby: Cluster
}

/** The standby has made a restartpoint in a segment of which there is no backup yet. */
async function freshSegment({ source, standby }: PushedPair): Promise<void> {
  const { cluster: primary } = source
  await archiveEverything(primary)
  await primary.query(`select pg_logical_emit_message(true, 'test', '')`)
  await primary.query('checkpoint')
  await untilReplayed(primary, standby)
  await standby.query('checkpoint')
}

function startPush(
  { source }: PushedPair,
  server: Cluster,
  settings: Readonly<Record<string, string>> = {},
): Started {
  return startWalgAsCluster(['backup-push', server.dataDirectory], {
    ...source.connection(server),
    ...SLOW,
    ...settings,
  })
}

/** The name of the backup that a push began. */
const nameOf = ({ stderr }: Finished): string | undefined =>
  /Started backup with name (\S+)/.exec(stderr)?.[1]

/** A push that reported success has its backup; every backup that is there and not yet proved restores; a push that failed says why. */
async function assertSound(
  { source }: PushedPair,
  pushes: readonly Finished[],
  proved: Set<string> = new Set(),
): Promise<void> {
  const listed = listedBackups(source.repository)
  for (const push of pushes) {
    if (push.exit === 0) expect(listed).toContain(nameOf(push)!)
    else expect(push.stderr).toMatch(/ERROR: .*(another push|not in the storage any more|exists already)/)
  }
  const successes = pushes.filter(({ exit }) => exit === 0)
  expect(new Set(successes.map(nameOf)).size).toBe(successes.length)
  for (const name of listed) {
    if (proved.has(name)) continue
    proved.add(name)
    const target = source.place.at(`fetched-${name}`)
    await walg(['backup-fetch', target, name], source.settings)
    rmSync(target, { recursive: true })
  }
}

testUnless(
  missingPostgres(MAJOR),
  'a primary and its standby pushed at the same time never ruin or replace the backup of the other',
  async () => {
    await using source = await startArchivingCluster({ major: MAJOR })
    await source.cluster.query(LEDGER_SQL)
    await using standby = await startStandby(source, 'standby')
    const pair = { source, standby }
    let collisions = 0
    const proved = new Set<string>()
    const [primaryFirst, standbyFirst] = [
      [source.cluster, standby],
      [standby, source.cluster],
    ] as const
    for (const [first, second] of [primaryFirst, standbyFirst]) {
      for (const [offsetMs, parts] of [
        [50, {}],
        [1500, {}],
        [500, SMALL_PARTS],
      ] as const) {
        await freshSegment(pair)
        const earlier = startPush(pair, first, parts)
        await untilTrue(() => earlier.stderr().includes('Started backup'), 30_000, 'the first beginning')
        await Bun.sleep(offsetMs)
        const later = startPush(pair, second, parts)
        const pushes = await Promise.all([earlier.finished, later.finished])
        if (new Set(pushes.map(nameOf)).size === 1) collisions += 1
        await assertSound(pair, pushes, proved)
        // whatever became of the two, the next push works at once
        await freshSegment(pair)
        const next = await startPush(pair, first, { WALG_DISK_RATE_LIMIT: '1000000000' }).finished
        expect([next.exit, next.stderr]).toEqual([0, expect.any(String)])
      }
    }
    // none has hurt an earlier one
    await assertSound(pair, [])
    // a primary begins in a new segment: only a standby that begins after it does so at the same point
    expect(collisions).toBeGreaterThanOrEqual(2)
  },
  300_000,
)

testUnless(
  missingPostgres(MAJOR),
  'with WALG_PRIMARY_CONNINFO the second of the two is refused at once, and the first succeeds',
  async () => {
    await using source = await startArchivingCluster({ major: MAJOR })
    await source.cluster.query(LEDGER_SQL)
    await using standby = await startStandby(source, 'standby')
    const pair = { source, standby }
    const { cluster: primary } = source
    const asking = {
      WALG_PRIMARY_CONNINFO: `host=${primary.host} port=${primary.port} user=postgres dbname=postgres`,
    }
    for (const [first, second] of [
      [primary, standby],
      [standby, primary],
    ] as const) {
      await freshSegment(pair)
      const earlier = startPush(pair, first, asking)
      await untilTrue(() => earlier.stderr().includes('Starting part 1 '), 30_000, 'the first packing')
      const refused = await startPush(pair, second, asking).finished
      expect(refused.exit).toBe(1)
      expect(refused.stderr).toContain('another backup of this cluster into this repository is running')
      expect(refused.stderr).not.toContain('Starting part')
      const done = await earlier.finished
      expect([done.exit, done.stderr]).toEqual([0, expect.any(String)])
      await assertSound(pair, [done])
    }
    // the lock was let go, and losing it is said without hurting the backup
    await freshSegment(pair)
    const lonely = startPush(pair, standby, asking)
    await untilTrue(() => lonely.stderr().includes('Starting part 1 '), 30_000, 'packing')
    await primary.query(
      `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()`,
    )
    const done = await lonely.finished
    expect([done.exit, done.stderr]).toEqual([
      0,
      expect.stringMatching(/^WARNING: .*the connection to the primary is lost/m),
    ])
  },
  180_000,
)
