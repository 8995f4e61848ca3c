import { expect, test } from 'bun:test'
import { startRestored } from '../support/cluster.ts'
import { type Major, missingPostgres } from '../support/postgres-binaries.ts'
import { describeUnless, missingReference } from '../support/skip.ts'
import { checkHealth } from './cluster-health.ts'
import { rounds, SETUP } from './delta-changes.ts'
import {
  archiveAll,
  backupNames,
  commandLine,
  fetchBackup,
  type Scene,
  startScene,
  succeed,
  type Tool,
} from './reference/pair.ts'
import { compareTrees, readTree, type Tree, withoutServerManifest } from './restored-tree.ts'
import { takeTurns } from './turns.ts'

/** How changed blocks are found. */
type Way = 'scan' | 'wal' | 'summaries'

const MAJORS: readonly Major[] = [13, 14, 15, 16, 17, 18]
const TIMEOUT_MS = 1_800_000
const REVERSE = ['--reverse-unpack']
const reason = missingReference() ?? missingPostgres(...MAJORS)
const inTurn = takeTurns(1)

/** What two backups of the same state may differ in: they begin at other places of the WAL. */
const OF_THE_BACKUP =
  /^(backup_label|backup_manifest|tablespace_map|global\/pg_control|pg_logical\/replorigin_checkpoint)$/

function contentOf(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(tree)
      .filter(([name, entry]) => !OF_THE_BACKUP.test(name) && 'size' in entry)
      .map(([name, entry]) => [name, { ...entry, mode: '' }]),
  )
}

async function expectChain(scene: Scene, backup: string, full: string): Promise<void> {
  const wanted = contentOf(readTree(await fetchBackup(scene, 'ours', full)))
  const forward = readTree(await fetchBackup(scene, 'original', backup))
  const ours = readTree(await fetchBackup(scene, 'ours', backup))
  expect(compareTrees(withoutServerManifest(forward), withoutServerManifest(ours))).toEqual([])
  const reverse = readTree(await fetchBackup(scene, 'original', backup, REVERSE, '-reverse'))
  const skip = readTree(
    await fetchBackup(scene, 'original', backup, [...REVERSE, '--skip-redundant-tars'], '-skip'),
  )
  for (const tree of [ours, reverse, skip]) expect(compareTrees(wanted, contentOf(tree))).toEqual([])
}

/** A chain by `pushers` in turn over a changing cluster; every backup of it is compared with a full one of the same state. */
async function play(major: Major, pushers: readonly Tool[], ways: readonly Way[] = ['scan']): Promise<void> {
  await using scene = await startScene(major, 'lz4', 'ours')
  const { cluster, env } = scene
  cluster.configure({ autovacuum: 'off', ...(ways.includes('summaries') ? { summarize_wal: 'on' } : {}) })
  await cluster.reload()
  for (const statement of SETUP) await cluster.query(statement)
  const push = ['backup-push', cluster.dataDirectory]
  const deltas = { ...env, WALG_DELTA_MAX_STEPS: '10' }
  await succeed(pushers[0]!, [...push, '--full'], deltas)
  let parent = (await backupNames(scene)).at(-1)!
  const pairs: [string, string][] = []
  let mapped = 0
  // the original's deltas of a database made anew under its number hold pages of the one that was dropped
  const hasNumberedDatabase = !pushers.includes('original')
  for (const [number, round] of rounds(major, 'ts1', { hasNumberedDatabase }).entries()) {
    await round.run(cluster)
    // whatever a backup itself does to the catalogs (hint bits) is done
    await succeed('ours', [...push, '--full'], { ...env })
    const tool = pushers[(number + 1) % pushers.length]!
    const way = ways[number % ways.length]!
    const { stderr } = await succeed(tool, [...push, '--delta-from-name', parent], {
      ...deltas,
      ...(tool === 'ours' ? { WALG_CHANGED_BLOCKS: way } : {}),
    })
    if (stderr.includes('Changed blocks from')) mapped++
    parent = (await backupNames(scene)).at(-1)!
    expect(parent).toContain('_D_')
    await succeed('ours', [...push, '--full'], { ...env })
    pairs.push([parent, (await backupNames(scene)).at(-1)!])
  }
  // a map that would cost more than reading is not made
  if (ways.length > 1) expect(mapped).toBeGreaterThan(0)
  for (const [delta, full] of pairs) await expectChain(scene, delta, full)
  await archiveAll(scene)
  const last = scene.place.at(`ours-${pairs.at(-1)![0]}`)
  await using restored = await startRestored(last, {
    major,
    settings: { restore_command: commandLine('ours', env, 'wal-fetch "%f" "%p"'), archive_mode: 'off' },
  })
  const [row] = await restored.query<{ n: string }>(
    `select concat_ws(' ', (select count(*) from t_update), (select count(*) from t_same), (select count(*) from t_new),
       (select count(*) from t_toast where big = 'short')) as n`,
  )
  expect(row!.n).toBe('19979 20000 3000 20')
  const health = await checkHealth(restored)
  expect(health.pages).toBeGreaterThan(1000)
}

describeUnless(reason, 'chains of deltas over a changing cluster, restored in every mode', () => {
  for (const major of MAJORS) {
    test.concurrent(
      `PostgreSQL ${major}: taken by ours`,
      () => inTurn(() => play(major, ['ours'])),
      TIMEOUT_MS,
    )
  }
  for (const [major, way] of [
    [13, 'wal'],
    [15, 'wal'],
    [17, 'summaries'],
    [18, 'wal'],
  ] as const) {
    test.concurrent(
      `PostgreSQL ${major}: taken by ours, blocks by ${way} and by reading in turn`,
      () => inTurn(() => play(major, ['ours'], [way, 'scan'])),
      TIMEOUT_MS,
    )
  }
  for (const major of [13, 15, 18] as const) {
    test.concurrent(
      `PostgreSQL ${major}: begun by the original, continued in turn`,
      () => inTurn(() => play(major, ['original', 'ours'])),
      TIMEOUT_MS,
    )
  }
})
