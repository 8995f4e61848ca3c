import { expect, test } from 'bun:test'
import { startRestored } from '../../support/cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { describeUnless, missingReference } from '../../support/skip.ts'
import { compareTrees, readTree, withoutServerManifest } from '../restored-tree.ts'
import { takeTurns } from '../turns.ts'
import {
  archiveAll,
  backupNames,
  commandLine,
  fetchBackup,
  listBackups,
  METHODS,
  type Method,
  objectsOf,
  type Scene,
  startScene,
  succeed,
  type Tool,
} from './pair.ts'

const MAJORS: readonly Major[] = [13, 15, 18]
const DELTAS = { WALG_DELTA_MAX_STEPS: '5' }
const AT_ONCE_MAX = 2
const TIMEOUT_MS = 1_800_000
const reason = missingReference() ?? missingPostgres(...MAJORS)

/** Both fetch it and the trees are equal; returns where each of them lies. */
async function expectSameTree(scene: Scene, backup: string): Promise<Record<Tool, string>> {
  const ours = await fetchBackup(scene, 'ours', backup)
  const original = await fetchBackup(scene, 'original', backup)
  const left = withoutServerManifest(readTree(original))
  expect(Object.keys(left).length).toBeGreaterThan(800)
  expect(compareTrees(left, withoutServerManifest(readTree(ours)))).toEqual([])
  return { ours, original }
}

/** PostgreSQL replays everything archived with the `wal-fetch` of `tool`; rows of `t`, changed ones, of `t2`. */
async function recover(scene: Scene, target: string, tool: Tool): Promise<string> {
  const { cluster, env } = scene
  await using restored = await startRestored(target, {
    major: cluster.major,
    settings: { restore_command: commandLine(tool, env, 'wal-fetch "%f" "%p"') },
  })
  const [row] = await restored.query<{ counts: string }>(
    `select concat_ws(' ', (select count(*) from t), (select count(*) from t where md5 = 'x'),
       (select count(*) from t2)) as counts`,
  )
  return row!.counts
}

async function expectSameLists(scene: Scene): Promise<void> {
  for (const flags of [[], ['--json'], ['--json', '--detail'], ['--pretty']]) {
    expect(await listBackups(scene, 'ours', flags)).toBe(await listBackups(scene, 'original', flags))
  }
}

/** Ours makes full backups, the original a delta on one of them and then deletes everything. */
async function oursFirst(scene: Scene): Promise<void> {
  const { cluster, env, repository } = scene
  const push = ['backup-push', cluster.dataDirectory]
  await succeed('ours', [...push, '--add-user-data', '{"a": [1, "ü"], "b": null}'], env)
  await cluster.query(`update t set md5 = 'x' where g % 10 = 0`)
  await succeed('original', push, { ...env, ...DELTAS })
  const [full, delta] = (await backupNames(scene)) as [string, string]
  expect(delta).toEndWith(`_D_${full.slice('base_'.length)}`)
  await expectSameLists(scene)

  await cluster.query('delete from t where g <= 100')
  await archiveAll(scene)
  const fulls = await expectSameTree(scene, full)
  const deltas = await expectSameTree(scene, delta)
  expect(await recover(scene, fulls.original, 'original')).toBe('29900 2990 999')
  expect(await recover(scene, deltas.original, 'ours')).toBe('29900 2990 999')

  await succeed('ours', [...push, '--permanent'], env)
  const kept = (await backupNames(scene))[2]!
  await expectSameLists(scene)
  const manifests = objectsOf(repository).filter(object => object.includes('/content_manifest.jsonl'))
  expect(manifests.map(object => object.split('/')[1]!)).toEqual([full, kept])
  await succeed('original', ['delete', 'retain', 'FULL', '1', '--confirm'], env)
  expect(objectsOf(repository).filter(object => object.includes(full.slice('base_'.length)))).toEqual([])
  expect(objectsOf(repository).filter(object => object.includes(delta.slice('base_'.length)))).toEqual([])
  await expectSameLists(scene)
  await expectSameTree(scene, kept)
  cluster.configure({ archive_command: 'false' })
  await cluster.reload()
  await succeed('original', ['delete', 'everything', 'FORCE', '--confirm'], env)
  expect(objectsOf(repository)).toEqual([])
}

/** The original makes a chain, ours reads it and goes on with a permanent delta. */
async function originalFirst(scene: Scene): Promise<void> {
  const { cluster, env } = scene
  const push = ['backup-push', cluster.dataDirectory]
  await succeed('original', [...push, '--add-user-data', '{"a": 1}'], { ...env, ...DELTAS })
  await cluster.query(`update t set md5 = 'x' where g % 10 = 0`)
  await succeed('original', push, { ...env, ...DELTAS })
  await cluster.query('delete from t where g <= 100')
  await succeed('original', push, { ...env, ...DELTAS })
  await succeed('ours', [...push, '--permanent'], { ...env, ...DELTAS })
  const names = await backupNames(scene)
  expect(names.map(name => name.includes('_D_'))).toEqual([false, true, true, true])
  await expectSameLists(scene)

  await cluster.query('delete from t2 where g > 900')
  await archiveAll(scene)
  for (const name of names) {
    const { ours, original } = await expectSameTree(scene, name)
    if (name === names[2]) expect(await recover(scene, ours, 'ours')).toBe('29900 2990 900')
    if (name === names[3]) expect(await recover(scene, original, 'original')).toBe('29900 2990 900')
  }
}

const inTurn = takeTurns(AT_ONCE_MAX)

async function play(major: Major, method: Method, archiver: Tool): Promise<void> {
  await using scene = await startScene(major, method, archiver)
  await (archiver === 'ours' ? oursFirst(scene) : originalFirst(scene))
}

describeUnless(reason, 'ours and the original on one repository', () => {
  for (const major of MAJORS) {
    for (const method of METHODS) {
      const name = `PostgreSQL ${major}, ${method}`
      test.concurrent(
        `${name}: the original works with our backups and WAL`,
        () => inTurn(() => play(major, method, 'ours')),
        TIMEOUT_MS,
      )
      test.concurrent(
        `${name}: ours works with backups and WAL of the original`,
        () => inTurn(() => play(major, method, 'original')),
        TIMEOUT_MS,
      )
    }
  }
})
