import { expect } from 'bun:test'
import { rmSync } from 'node:fs'
import { hasCode } from '../../src/kit/errors.ts'
import { MIB } from '../../src/kit/sizes.ts'
import { backupPush } from '../../src/operations/backup-push/backup-push.ts'
import { remoteBackupPush } from '../../src/operations/backup-push/remote/remote-backup-push.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  startArchivingCluster,
  startStandby,
  walg,
} from '../e2e/archiving-cluster.ts'
import { proveContents, type Way, waysOf } from '../e2e/delta/delta-workload.ts'
import { NO_DELTA, pushOptions } from '../e2e/push/backup-push-support.ts'
import type { Cluster } from '../support/cluster.ts'
import { operationContext } from '../support/operation-context.ts'
import { MAJORS, type Major, missingPostgres } from '../support/postgres-binaries.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { testUnless } from '../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { readContents } from '../support/workload/contents.ts'
import { openWorkload, underLoad, type Workload, workloadSettings } from '../support/workload/workload.ts'

const TIMEOUT_MS = 1_200_000
const STEPS = 3
/** Two backups of one standby may begin at the same place: their names are told apart by the second. */
const PAUSE_MS = 1100

interface Scene {
  readonly source: ArchivingCluster
  readonly standby: Cluster
  readonly workload: Workload
  readonly place: TempDirectory
}

/** Chains of deltas taken now here, now there, and full backups over the wire of both, while a random workload runs on the primary. */
async function playPair(major: Major): Promise<void> {
  const random = seededRandom(`standby workload ${major}`)
  await using source = await startArchivingCluster({
    major,
    segmentSizeMiB: 1,
    settings: workloadSettings(major),
  })
  const primary = source.cluster
  using place = tempDirectory('standby-workload')
  const workload = await openWorkload(primary, random, place)
  try {
    // no tablespaces: the standby would have to put them where those of the primary are
    await workload.run(30, { isDuringBackup: true })
    await using standby = await startStandby(source, 'standby')
    await workload.reconnect()
    const scene: Scene = { source, standby, workload, place }
    const first = await pushDelta(scene, primary, undefined, 'scan')
    const parents = new Map<Way, string>(waysOf(major).map(way => [way, first]))
    for (let step = 0; step < STEPS; step++) {
      const pickServer = (): Cluster => (random.int(3) === 0 ? primary : standby)
      const names = await underLoad(workload, () => takeStep(scene, parents, pickServer))
      await proveStep(scene, names, `step_${step}`)
    }
  } catch (error) {
    throw new Error(`SEED=${random.seed}: ${(error as Error).message}`, { cause: error })
  } finally {
    await workload.close()
  }
}

async function takeStep(
  scene: Scene,
  parents: Map<Way, string>,
  pickServer: () => Cluster,
): Promise<string[]> {
  const names: string[] = []
  for (const [way, parent] of parents) {
    try {
      const name = await pushDelta(scene, pickServer(), parent, way)
      parents.set(way, name)
      names.push(name)
    } catch (error) {
      // the last restartpoint of the standby lies before the end of the parent
      if (!hasCode(error, 'DELTA_BASE_INVALID')) throw error
    }
    await Bun.sleep(PAUSE_MS)
  }
  for (const server of [scene.source.cluster, scene.standby]) {
    try {
      names.push(await pushRemote(scene, server))
    } catch (error) {
      // the standby has made no restartpoint since another backup began there
      if (server === scene.source.cluster || !hasCode(error, 'BACKUP_EXISTS')) throw error
    }
  }
  return names
}

async function pushDelta(
  { source }: Scene,
  server: Cluster,
  parent: string | undefined,
  method: Way,
): Promise<string> {
  const context = await operationContext(source.repository)
  const isFull = parent === undefined
  const changes = { ...NO_DELTA.changes, method, usesWal: method === 'wal', walSegmentBytes: MIB }
  const delta = { ...NO_DELTA, stepsMax: isFull ? 0 : 100, fromName: parent, isFull, changes }
  const options = { cluster: server, delta, walSegmentBytes: MIB, primary: primaryOf(source) }
  try {
    return (await backupPush(context, pushOptions(server.dataDirectory, options))).name
  } finally {
    await context.storage.close()
  }
}

async function pushRemote({ source }: Scene, server: Cluster): Promise<string> {
  const context = await operationContext(source.repository)
  const options = { cluster: server, walSegmentBytes: MIB, primary: primaryOf(source) }
  try {
    return (await remoteBackupPush(context, pushOptions('', options))).name
  } finally {
    await context.storage.close()
  }
}

function primaryOf({ cluster }: ArchivingCluster): Readonly<Record<string, string>> {
  return cluster.environment
}

/** Restores all of them to a point after the last: each has to hold what the primary held there. */
async function proveStep(
  { source, place }: Scene,
  names: readonly string[],
  restorePoint: string,
): Promise<void> {
  const { cluster: primary } = source
  await primary.query(`select pg_create_restore_point('${restorePoint}')`)
  const contents = await readContents(primary)
  await archiveEverything(primary)
  expect(names.length).toBeGreaterThan(1)
  for (const name of names) {
    const target = place.at('restored')
    await walg(['backup-fetch', target, name], source.settings)
    const { settings } = source
    await proveContents(target, { what: name, major: primary.major, settings, restorePoint, contents })
    rmSync(target, { recursive: true, force: true })
  }
}

for (const major of MAJORS) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: backups of a primary and its standby, taken in turn and over the wire under a random workload, restore to the same`,
    () => playPair(major),
    TIMEOUT_MS,
  )
}
