import { afterAll, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startRestored } from '../support/cluster.ts'
import type { Major } from '../support/postgres-binaries.ts'
import { missingPostgres } from '../support/postgres-binaries.ts'
import { restoreSpec } from '../support/restore-spec.ts'
import { describeUnless, interopDirectory, interopFixtures, missingInterop } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runWalg, walgCommand } from '../support/walg.ts'
import { checkHealth } from './cluster-health.ts'
import { readClusterState } from './cluster-state.ts'
import {
  backupsOf,
  catchupManifestKey,
  extractFixture,
  type Fixture,
  fixtureManifests,
  planFixtures,
  type Recovery,
} from './fixture.ts'
import { compareTrees, readTree, withoutServerManifest } from './restored-tree.ts'
import { takeTurns } from './turns.ts'

/** What lies in the folder: a fixture or a recovery that gets lost makes this fail. */
const EXPECTED = { fixtures: 30, recoveries: 52, catchups: 1 }
const AT_ONCE_MAX = 2
const TIMEOUT_MS = 600_000

const reason = missingInterop() ?? missingPostgres(13, 14, 15, 16, 17, 18)
const plan = reason === undefined ? planFixtures() : { now: [], later: [] }
const folder = tempDirectory('recovery')
const inTurn = takeTurns(AT_ONCE_MAX)
const passed = { fixtures: 0, recoveries: 0, catchups: 0 }

function majorOf(fixture: Fixture): Major {
  return Number(fixture.postgresql.split('.')[0]) as Major
}

/** `--restore-spec` with every tablespace in a directory beside the restored one. */
function specArguments(fixture: Fixture, backup: string, destination: string): readonly string[] {
  const oids = fixture.backups!.find(({ name }) => name === backup)!.tablespaces ?? []
  if (!fixture.manifestMadeWithRestoreSpec || oids.length === 0) return []
  const locations = Object.fromEntries(oids.map(oid => [oid, `${destination}.${oid}`]))
  return restoreSpec(`${destination}.json`, destination, locations)
}

async function fetchAs(args: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const { exit, stderr } = await runWalg(args, { env, asClusterUser: true })
  expect({ exit, stderr: exit === 0 ? '' : stderr }).toEqual({ exit: 0, stderr: '' })
}

/** Fetches with the executable, lets PostgreSQL replay, and looks at everything it holds then. */
async function recover(
  fixture: Fixture,
  root: string,
  recovery: Recovery,
  destination: string,
): Promise<void> {
  const env = { WALG_FILE_PREFIX: root, ...fixture.settingsToRead }
  const { backup, catchup } = backupsOf(recovery)
  const spec = specArguments(fixture, backup, destination)
  await fetchAs(['backup-fetch', destination, backup, ...spec], env)
  const manifests = fixtureManifests(fixture.fixture)
  const found = readTree(destination)
  expect(compareTrees(withoutServerManifest(manifests[backup]!), withoutServerManifest(found))).toEqual([])
  if (catchup !== undefined) {
    await fetchAs(['catchup-fetch', destination, catchup], env)
    const caughtUp = manifests[catchupManifestKey(fixture, catchup)]!
    const ours = readTree(destination)
    expect(compareTrees(withoutServerManifest(caughtUp), withoutServerManifest(ours))).toEqual([])
  }

  // a key has several lines, which no line of postgresql.conf takes
  const config = `${destination}.walg.json`
  writeFileSync(config, JSON.stringify(env))
  const target = typeof recovery.target === 'string' ? {} : recovery.target
  await using cluster = await startRestored(destination, {
    major: majorOf(fixture),
    settings: {
      restore_command: walgCommand({ WALG_CONFIG_PATH: config }, 'wal-fetch "%f" "%p"'),
      ...target,
      ...(typeof recovery.target === 'string' ? {} : { recovery_target_action: 'promote' }),
    },
  })
  const state = await readClusterState(cluster)
  expect(state).toEqual(recovery.expect)
  const lost = await cluster.query("select m from public.marks m where m::text like '%LOST%'")
  expect({ lost, tables: Object.keys(state.tables).filter(name => /lost/i.test(name)) }).toEqual({
    lost: [],
    tables: [],
  })
  const health = await checkHealth(cluster)
  expect(health.indexes).toBeGreaterThan(100)
  expect(health.pages).toBeGreaterThan(500)
}

async function recoverAll(fixture: Fixture): Promise<void> {
  const root = extractFixture(fixture.fixture, folder.path)
  const prefix = `${fixture.fixture}.out`
  for (const recovery of fixture.recoveries!) {
    await recover(fixture, root, recovery, folder.at(prefix))
    passed.recoveries += 1
    if (backupsOf(recovery).catchup !== undefined) passed.catchups += 1
    for (const name of readdirSync(folder.path)) {
      if (name.startsWith(prefix)) rmSync(folder.at(name), { recursive: true })
    }
  }
  rmSync(root, { recursive: true })
  passed.fixtures += 1
}

describeUnless(reason, 'PostgreSQL recovers from what the original has stored', () => {
  for (const fixture of plan.now) {
    test.concurrent(
      `${fixture.fixture}: ${fixture.recoveries!.length} recoveries end in the recorded state, healthy`,
      () => inTurn(() => recoverAll(fixture)),
      TIMEOUT_MS,
    )
  }

  test('the folder holds what its README lists', () => {
    const readme = readFileSync(path.join(interopDirectory(), 'README.md'), 'utf8')
    const rows = [...readme.matchAll(/^\| `([\w-]+)` \|.*\|$/gm)]
    const listed = rows.map(([, name]) => name!).sort()
    expect(interopFixtures()).toEqual(listed)
    const archives = listed.map(name => path.join(interopDirectory(), `${name}.tar`))
    expect(archives.filter(file => !existsSync(file))).toEqual([])
    const recoveries = rows.map(([row]) => Number(/(\d+) recoveries/.exec(row!)?.[1] ?? 0))
    const here = [...plan.now, ...plan.later].flatMap(fixture => fixture.recoveries!).length
    expect(here).toBe(recoveries.reduce((sum, count) => sum + count, 0))
  })

  test('nothing got lost on the way', () => {
    const later = plan.later.map(({ fixture }) => fixture)
    const laterRecoveries = plan.later.flatMap(fixture => fixture.recoveries!).length
    console.log(`fixtures ${passed.fixtures}/${plan.now.length}, recoveries ${passed.recoveries}`)
    console.log(
      `later: encryption ${later.length} (${later.join(', ')}); with catchup-fetch ${passed.catchups}`,
    )
    expect({
      fixtures: passed.fixtures + later.length,
      recoveries: passed.recoveries + laterRecoveries,
      catchups: passed.catchups,
    }).toEqual(EXPECTED)
  })

  afterAll(() => folder.remove())
})
