import { systemClock } from '../../kit/clock.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import { nowNs } from '../../kit/timestamp.ts'
import type { Cluster } from '../../postgres/cluster/cluster.ts'
import { textOf } from '../../postgres/cluster/cluster-facts.ts'
import { parseTimeTarget } from '../../postgres/recovery-target.ts'
import type { ServerPrograms } from '../../postgres/server/programs.ts'
import { untilRecovered } from '../../postgres/server/recovery-progress.ts'
import { notAsRoot, ServerProcess } from '../../postgres/server/server-process.ts'
import type { OperationContext } from '../context.ts'
import { type CheckedDatabase, checkDatabase, type Finding } from './check-database.ts'
import type { DrillOptions, DrillPlan, DrillSteps } from './options.ts'
import {
  checkRoom,
  makeScratchPlace,
  removeScratchPlace,
  type ScratchPlace,
  scratchTablespaces,
} from './scratch-place.ts'
import { writeDrillConfiguration } from './server-configuration.ts'
import { connectAsSuperuser, readBootstrapRole } from './superuser.ts'

export interface DrillReport {
  readonly plan: DrillPlan
  readonly serverVersion: string
  readonly beganNs: bigint
  /** Milliseconds: the files, the WAL behind them, and the checks. */
  readonly restoreMs: number
  readonly recoveryMs: number
  readonly checksMs: number
  /** End of the last transaction that came back, microseconds since 1970; undefined when there was none. */
  readonly lastTransactionUs: bigint | undefined
  readonly databases: readonly CheckedDatabase[]
  /** All findings, those of the user's statements among them; none: the drill has succeeded. */
  readonly findings: readonly Finding[]
  /** Where everything still is; null when it was cleaned up. */
  readonly keptIn: string | null
}

type DrillContext = Pick<OperationContext, 'log' | 'signal'>

/**
 * Proves a backup by using it: restores it into a scratch directory, lets a throw-away server recover to the target,
 * checks every database and takes everything away again. Writes nothing to the storage. Throws when it cannot be
 * carried out; what is found is in the report.
 */
export async function drill(
  context: DrillContext,
  options: DrillOptions,
  steps: DrillSteps,
): Promise<DrillReport> {
  if (process.getuid?.() === 0) throw notAsRoot()
  const beganNs = nowNs()
  const stopwatch = startStopwatch()
  const plan = await steps.plan()
  const programs = await steps.findPrograms(plan.majorVersion)
  checkRoom(options.scratch, plan)
  const place = makeScratchPlace(options.scratch)
  try {
    await steps.restore(place.dataDirectory, scratchTablespaces(options.scratch, plan))
    await writeDrillConfiguration(place, options, plan.majorVersion)
    const restoreMs = stopwatch()
    context.log.info(`PostgreSQL ${programs.version} recovers in "${place.dataDirectory}"`)
    await using server = await recover(context, place, options, programs)
    const recoveryMs = stopwatch()
    const checked = await check(context, server, options)
    return {
      plan,
      serverVersion: programs.version,
      beganNs,
      restoreMs,
      recoveryMs,
      checksMs: stopwatch(),
      ...checked,
      keptIn: options.isKept ? options.scratch : null,
    }
  } finally {
    if (!options.isKept) removeScratchPlace(place)
  }
}

/** A recovered server; ended with the scope, or at the first failure. */
interface Recovered extends AsyncDisposable {
  readonly cluster: Cluster
  /** As its log had it at the end of recovery: a server that is started again has forgotten. */
  readonly lastTransactionUs: bigint | undefined
}

async function recover(
  context: DrillContext,
  place: ScratchPlace,
  options: DrillOptions,
  programs: ServerPrograms,
): Promise<Recovered> {
  let server = startServer(place, programs)
  try {
    await untilRecovered(server, {
      until: 'promoted',
      timeoutMs: options.recoveryMsMax,
      signal: context.signal,
      isPaused: async () => undefined,
    })
    const lastTransactionUs = lastTransactionOf(server.logTail())
    let cluster = await connectAsSuperuser(place, options.roles, context.signal)
    if (cluster === undefined) {
      await server.stop()
      const role = await readBootstrapRole(place, programs)
      context.log.debug(`the first superuser is "${role}"`)
      server = startServer(place, programs)
      await untilReady(server, options, context.signal)
      cluster = await connectAsSuperuser(place, [role], context.signal)
    }
    if (cluster === undefined) throw noSuperuser(server)
    const connected = cluster
    const running = server
    return {
      cluster: connected,
      lastTransactionUs,
      async [Symbol.asyncDispose]() {
        await connected.close()
        await running.stop()
      },
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}

function startServer(place: ScratchPlace, programs: ServerPrograms): ServerProcess {
  return ServerProcess.start({
    programs,
    dataDirectory: place.dataDirectory,
    logFile: place.logFile,
    settings: { config_file: place.configuration },
  })
}

async function untilReady(server: ServerProcess, options: DrillOptions, signal: AbortSignal): Promise<void> {
  const deadline = systemClock.nowMs() + options.recoveryMsMax
  while (server.postmaster()?.status !== 'ready') {
    if (server.ending !== undefined || systemClock.nowMs() > deadline) throw noSuperuser(server)
    await systemClock.sleep(50, signal)
  }
}

function noSuperuser(server: ServerProcess): WalgError {
  const complaint = server.lastComplaint()
  return new WalgError(
    'CLUSTER_STATE',
    `the restored server cannot be connected to${complaint === undefined ? '' : `: ${complaint}`}`,
    { hint: 'name a superuser of it: --role NAME' },
  )
}

async function check(
  context: DrillContext,
  { cluster, lastTransactionUs }: Recovered,
  options: DrillOptions,
): Promise<Pick<DrillReport, 'lastTransactionUs' | 'databases' | 'findings'>> {
  const databases: CheckedDatabase[] = []
  for (const name of await openAllDatabases(cluster)) {
    context.log.info(`Checking database "${name}"`)
    databases.push(await checkOne(cluster, name, options))
  }
  const findings = [
    ...databases.flatMap(database => database.findings),
    ...(await runStatements(cluster, options)),
  ]
  for (const { database, object, message } of findings) {
    context.log.warning(`database "${database}": ${object}: ${message}`)
  }
  return { lastTransactionUs, databases, findings }
}

/** What PostgreSQL says when it ends recovery; its messages are those of the C locale here. */
function lastTransactionOf(log: string): bigint | undefined {
  const [, time] = /last completed transaction was at log time (.+)$/m.exec(log) ?? []
  return time === undefined ? undefined : parseTimeTarget(time)
}

/** Names of all databases; those that let nobody in are opened, for this copy lives for an hour. */
async function openAllDatabases(cluster: Cluster): Promise<string[]> {
  const rows = await cluster.query(
    `select datname as name, pg_catalog.quote_ident(datname) as quoted, datallowconn as open from pg_catalog.pg_database order by 1`,
  )
  for (const row of rows) {
    if (row['open'] === 'f') {
      await cluster.query(`alter database ${textOf(row, 'quoted')} with allow_connections true`)
    }
  }
  return rows.map(row => textOf(row, 'name'))
}

async function checkOne(cluster: Cluster, name: string, options: DrillOptions): Promise<CheckedDatabase> {
  try {
    await using session = await cluster.openSession({ database: name })
    return await checkDatabase(session, name, options.statementMsMax)
  } catch (error) {
    if (!hasCode(error, 'CLUSTER_QUERY', 'CLUSTER_UNREACHABLE', 'TIMEOUT')) throw error
    const finding = { database: name, object: 'the database', message: error.message }
    return { name, indexesCount: 0, tablesCount: 0, findings: [finding] }
  }
}

async function runStatements(cluster: Cluster, { sql, statementMsMax }: DrillOptions): Promise<Finding[]> {
  if (sql === null) return []
  try {
    await using session = await cluster.openSession({ database: sql.database })
    await session.query(sql.text, [], { timeoutMs: statementMsMax })
    return []
  } catch (error) {
    if (!hasCode(error, 'CLUSTER_QUERY', 'CLUSTER_UNREACHABLE', 'TIMEOUT')) throw error
    const message = error.cause instanceof Error ? error.cause.message : error.message
    return [{ database: sql.database, object: 'the statements of --sql', message }]
  }
}

/** Each call returns the milliseconds since the one before. */
function startStopwatch(): () => number {
  let last = systemClock.nowMs()
  return () => {
    const now = systemClock.nowMs()
    const elapsed = now - last
    last = now
    return Math.round(elapsed)
  }
}
