import fs from 'node:fs'
import path from 'node:path'
import { WalgError } from '../../kit/errors.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import { describeTarget, formatTimeTarget } from '../../postgres/recovery-target.ts'
import { runningServer } from '../../postgres/server/postmaster-file.ts'
import type { OperationContext } from '../context.ts'
import {
  configurationWarnings,
  type RestoredConfiguration,
  readRestoredConfiguration,
} from './configuration.ts'
import type { FetchFiles, RestoreOptions } from './options.ts'
import { planRestore, type RestorePlan } from './plan/plan-restore.ts'
import { writeRecoveryFiles } from './recovery-files.ts'

/** What a restore will do, and that it can be done. */
export interface RestoreProof {
  readonly plan: RestorePlan
  readonly majorVersion: number
}

export interface RestoreResult extends RestoreProof {
  /** Absolute path, links resolved. */
  readonly root: string
  readonly configuration: RestoredConfiguration
}

/** Chooses the backup and proves that it and the WAL behind it lead to the target. Touches nothing. */
export async function proveRestore(
  context: OperationContext,
  options: Pick<
    RestoreOptions,
    'destination' | 'target' | 'timeline' | 'isTimelineGiven' | 'backupName' | 'segmentBytes'
  >,
): Promise<RestoreProof> {
  refuseRunningServer(options.destination)
  const plan = await planRestore(context, options)
  logPlan(context, plan)
  return { plan, majorVersion: Math.floor(plan.candidate.sentinel.pgVersion / 10_000) }
}

/**
 * Restores a directory that recovers to its target by itself: fetches the files, says how far to recover; pg_control,
 * without which nothing starts, comes last. Interrupted, it goes on when called again.
 */
export async function restore(
  context: OperationContext,
  options: RestoreOptions,
  proof: RestoreProof,
  fetchFiles: FetchFiles,
): Promise<RestoreResult> {
  let root = path.resolve(options.destination)
  await fetchFiles({
    destination: options.destination,
    backupName: proof.plan.candidate.entry.name,
    isIntoExisting: options.isIntoExisting,
    tablespaceMapping: options.tablespaceMapping,
    beforeControlFile: place => {
      root = place
      return writeRecoveryFiles(place, options)
    },
  })
  const configuration = readRestoredConfiguration(root)
  for (const warning of configurationWarnings(configuration, root)) context.log.warning(warning)
  return { ...proof, root, configuration }
}

/** Nothing may be put below a living server. */
function refuseRunningServer(destination: string): void {
  const pid = runningServer(destination)
  if (pid === undefined) return
  throw new WalgError('CLUSTER_STATE', `a server runs in "${destination}" (process ${pid})`, {
    facts: { path: destination, pid },
    hint: `stop it first (pg_ctl -D ${destination} stop), or restore into a directory beside it: ${nextFree(destination)}`,
  })
}

function nextFree(destination: string): string {
  const base = `${path.resolve(destination)}.restored`
  for (let number = 1; ; number++) {
    const name = number === 1 ? base : `${base}-${number}`
    if (!fs.existsSync(name)) return name
  }
}

function logPlan({ log }: OperationContext, plan: RestorePlan): void {
  const { candidate, stop, timeline, firstSegment, lastSegment, segmentsCount, target } = plan
  const time = formatTimeTarget(candidate.finishedNs / 1000n)
  log.info(`Backup ${candidate.entry.name} ended at ${time}, LSN ${formatLsn(candidate.finishLsn)}`)
  if (segmentsCount === 0) log.info('No WAL behind it is archived: it brings along what it needs')
  else
    log.info(
      `Recovery to ${describeTarget(target)} on timeline ${timeline} needs ${segmentsCount} WAL segments, ${firstSegment} to ${lastSegment}: all are in the archive`,
    )
  if (stop === undefined) return
  const when = stop.timeUs === undefined ? '' : `, written at ${formatTimeTarget(stop.timeUs)}`
  log.info(`It stops at the record at ${formatLsn(stop.lsn)}${when}`)
}
