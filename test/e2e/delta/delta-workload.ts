import { expect } from 'bun:test'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { MIB } from '../../../src/kit/sizes.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import type { ChangesOptions } from '../../../src/operations/backup-push/changes/find-changed-pages.ts'
import { succeed, type Tool } from '../../interop/reference/pair.ts'
import { compareTrees, readTree, type Tree } from '../../interop/restored-tree.ts'
import { type Cluster, startCluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext } from '../../support/operation-context.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import { restoreSpec } from '../../support/restore-spec.ts'
import type { SeededRandom } from '../../support/seeded-random.ts'
import type { TempDirectory } from '../../support/temp-directory.ts'
import { untilArchived } from '../../support/until-archived.ts'
import { walgCommand } from '../../support/walg.ts'
import { type Contents, readContents } from '../../support/workload/contents.ts'
import { openWorkload, underLoad, type Workload, workloadSettings } from '../../support/workload/workload.ts'
import { checkIntegrity } from '../integrity.ts'
import { NO_DELTA, pushOptions } from '../push/backup-push-support.ts'

export type Way = Exclude<ChangesOptions['method'], 'auto'>

export interface ChainOptions {
  readonly major: Major
  readonly random: SeededRandom
  readonly place: TempDirectory
  /** Deltas of each way. */
  readonly steps: number
  /** Every backup is restored in each of these. */
  readonly modes: readonly RestoreMode[]
}

export interface RestoreMode {
  readonly tool: Tool
  readonly flags: readonly string[]
}

export const PLAIN_RESTORE: RestoreMode = { tool: 'ours', flags: [] }

/** A backup with what the cluster held when it, and the restore point after it, were done. */
interface Taken {
  readonly name: string
  readonly way: Way | 'full'
  readonly restorePoint: string
  readonly contents: Contents
  /** Name of a full backup of the very same state; undefined: the workload ran while the backup was taken. */
  readonly twin: string | undefined
  readonly spec: object | undefined
}

interface Scene {
  readonly cluster: Cluster
  readonly settings: Readonly<Record<string, string>>
  readonly place: TempDirectory
  /** Files of the full backups that deltas are compared with, by name. */
  readonly twins: Map<string, Tree>
}

export function waysOf(major: Major): readonly Way[] {
  return major >= 17 ? ['scan', 'wal', 'summaries'] : ['scan', 'wal']
}

/**
 * A random workload, and beside it one chain of deltas for each way of finding changed blocks; then every backup of them is
 * restored in every mode: compared file by file with a full backup of the same state, or started, checked and compared with the contents at
 * its restore point.
 */
export async function playChains(options: ChainOptions): Promise<void> {
  const { random, place, major } = options
  const scene = await openScene(major, place)
  await using cluster = scene.cluster
  const workload = await openWorkload(cluster, random, place)
  try {
    await workload.run(40)
    const first = await takeBackup(scene, { method: 'scan', parent: undefined })
    const parents = new Map<Way, string>(waysOf(major).map(way => [way, first]))
    const taken: Taken[] = []
    for (let step = 1; step <= options.steps; step++) {
      await workload.run(15)
      if (random.int(3) === 0) await crash(cluster, workload)
      taken.push(...(await takeStep(scene, workload, parents, { step, isQuiet: step % 2 === 1, random })))
    }
    await archiveEverything(cluster)
    for (const backup of taken) {
      for (const mode of options.modes) await proveRestore(scene, backup, mode)
    }
  } catch (error) {
    throw new Error(
      `SEED=${random.seed}: ${(error as Error).message}\n${workload.script.slice(-40).join('\n')}`,
      {
        cause: error,
      },
    )
  } finally {
    await workload.close()
  }
}

async function openScene(major: Major, place: TempDirectory): Promise<Scene> {
  const repository = place.at('repository')
  mkdirSync(repository)
  giveToClusterUser(repository, 0o777)
  const settings = {
    WALG_FILE_PREFIX: repository,
    WALG_COMPRESSION_METHOD: 'lz4',
    WALG_PG_WAL_SIZE: '1',
    WALG_USE_WAL_DELTA: 'true',
    WALG_TAR_DISABLE_FSYNC: 'true',
  }
  const cluster = await startCluster({
    major,
    segmentSizeMiB: 1,
    archiveCommand: walgCommand(settings, 'wal-push %p'),
    settings: workloadSettings(major),
  })
  return { cluster, settings, place, twins: new Map() }
}

async function takeBackup(
  { cluster, place }: Scene,
  { method, parent }: { readonly method: Way; readonly parent: string | undefined },
): Promise<string> {
  const context = await operationContext(place.at('repository'))
  const changes: ChangesOptions = {
    method,
    usesWal: method === 'wal',
    // falling back would prove nothing
    isForced: method !== 'scan',
    walSegmentBytes: MIB,
    walPageBytes: 8192,
    pageBytes: 8192,
  }
  const isFull = parent === undefined
  const delta = { ...NO_DELTA, stepsMax: isFull ? 0 : 100, fromName: parent, isFull, changes }
  const { name } = await backupPush(
    context,
    pushOptions(cluster.dataDirectory, { cluster, delta, walSegmentBytes: MIB }),
  )
  if (parent !== undefined) {
    expect(name).toContain('_D_')
    const told = method === 'scan' ? 'are found by reading' : 'are known from'
    expect(context.messages.join('\n')).toMatch(new RegExp(`Changed blocks .*${told}`))
  }
  await context.storage.close()
  return name
}

async function takeStep(
  scene: Scene,
  workload: Workload,
  parents: Map<Way, string>,
  { step, isQuiet, random }: { step: number; isQuiet: boolean; random: SeededRandom },
): Promise<Taken[]> {
  const { cluster } = scene
  const names: { way: Way; name: string }[] = []
  const take = async (): Promise<void> => {
    for (const [way, parent] of parents)
      names.push({ way, name: await takeBackup(scene, { method: way, parent }) })
  }
  let twin: string | undefined
  if (isQuiet) {
    // what a backup itself does to the catalogs (hint bits) is done
    await takeBackup(scene, { method: 'scan', parent: undefined })
    await take()
    twin = await takeBackup(scene, { method: 'scan', parent: undefined })
  } else {
    await underLoad(workload, take)
  }
  for (const { way, name } of names) parents.set(way, name)
  const restorePoint = `step_${step}_${random.int(1000)}`
  await cluster.query(`select pg_create_restore_point('${restorePoint}')`)
  const contents = await readContents(cluster)
  const spec = await tablespaces(cluster)
  return names.map(({ way, name }) => ({ way, name, restorePoint, contents, twin, spec }))
}

async function crash(cluster: Cluster, workload: Workload): Promise<void> {
  await cluster.kill()
  await cluster.start()
  await workload.reconnect()
}

/** Where the tablespaces are, as `oid` and a place that has to be filled in; undefined without any. */
async function tablespaces(cluster: Cluster): Promise<object | undefined> {
  const rows = await cluster.query<{ oid: string }>(
    `select oid::text from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by oid`,
  )
  return rows.length === 0 ? undefined : { tablespaces: rows.map(({ oid }) => oid) }
}

async function archiveEverything(cluster: Cluster): Promise<void> {
  await cluster.query(`select pg_logical_emit_message(true, 'test', ''); select pg_switch_wal()`)
  await untilArchived(cluster)
}

async function fetch(
  scene: Scene,
  name: string,
  spec: Taken['spec'],
  { tool, flags: ownFlags }: RestoreMode,
): Promise<string> {
  const target = scene.place.at('restored')
  const flags = [...ownFlags]
  if (spec !== undefined) {
    const { tablespaces: oids } = spec as { tablespaces: string[] }
    const locations = Object.fromEntries(oids.map(oid => [oid, `${target}.spc/${oid}`]))
    flags.push(...restoreSpec(scene.place.at('spec.json'), target, locations))
  }
  await succeed(tool, ['backup-fetch', target, name, ...flags], scene.settings)
  if (tool === 'original') removeStaleTablespaces(target)
  return target
}

/** The original makes every directory of a parent again, and PostgreSQL does not start on one of a tablespace that was dropped since. */
function removeStaleTablespaces(target: string): void {
  const folder = path.join(target, 'pg_tblspc')
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) rmSync(path.join(folder, entry.name), { recursive: true })
  }
}

function removeRestored({ place }: Scene): void {
  for (const name of ['restored', 'restored.spc']) rmSync(place.at(name), { recursive: true, force: true })
}

/** What two backups of one state may differ in: they begin at other places of the WAL, and connections come and go. */
const OF_THE_BACKUP =
  /^(backup_label|backup_manifest|tablespace_map|global\/pg_control|pg_logical\/replorigin_checkpoint)$|pg_internal\.init$/

/** Contents of files; folders that are empty now may be there or not. */
function filesOf(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(tree).flatMap(([name, entry]) =>
      'size' in entry && !OF_THE_BACKUP.test(name) ? [[name, { ...entry, mode: '' }]] : [],
    ),
  )
}

async function twinOf(scene: Scene, name: string, spec: Taken['spec']): Promise<Tree> {
  const known = scene.twins.get(name)
  if (known !== undefined) return known
  const tree = filesOf(readTree(await fetch(scene, name, spec, PLAIN_RESTORE)))
  removeRestored(scene)
  scene.twins.set(name, tree)
  return tree
}

async function proveRestore(scene: Scene, backup: Taken, mode: RestoreMode): Promise<void> {
  const { name, way, twin, spec } = backup
  const what = `${name} (${way}) by ${[mode.tool, ...mode.flags].join(' ')}`
  const target = await fetch(scene, name, spec, mode)
  if (twin !== undefined) {
    const tree = filesOf(readTree(target))
    removeRestored(scene)
    expect([what, compareTrees(await twinOf(scene, twin, spec), tree)]).toEqual([what, []])
    return
  }
  try {
    await proveContents(target, { what, major: scene.cluster.major, settings: scene.settings, ...backup })
  } finally {
    removeRestored(scene)
  }
}

export interface ProvenContents {
  /** For the message of a failure. */
  readonly what: string
  readonly major: Major
  /** Of the repository that the WAL comes from. */
  readonly settings: Readonly<Record<string, string>>
  readonly restorePoint: string
  /** What the cluster held at the restore point. */
  readonly contents: Contents
}

/** Starts a restored directory: at the restore point it holds what it has to, and is healthy. */
export async function proveContents(target: string, expected: ProvenContents): Promise<void> {
  const { what, major, settings, restorePoint, contents } = expected
  await using restored = await startRestored(target, {
    major,
    settings: {
      restore_command: walgCommand(settings, 'wal-fetch %f %p'),
      recovery_target_name: restorePoint,
      recovery_target_action: 'promote',
      // of a standby's directory
      primary_conninfo: '',
    },
  })
  expect([what, await readContents(restored)]).toEqual([what, contents])
  await checkIntegrity(restored)
}
