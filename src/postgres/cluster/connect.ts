import { lookup } from 'node:dns/promises'
import type { Client } from 'pg'
import { cancelled, throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Cluster, ConnectionSettings, ConnectOptions } from './cluster.ts'
import {
  type ConnectionPlan,
  type ConnectionTarget,
  planConnections,
  type SessionAttributes,
} from './connection-plan.ts'
import { PgCluster, type SessionSource } from './pg-cluster.ts'
import { systemSources } from './plan-sources.ts'
import { sqlStateOf } from './query-error.ts'
import { openPgSession } from './session.ts'

const VERSION_MIN = 130_000
/** The newest major that was tested. */
const MAJOR_KNOWN_MAX = 18
const CANNOT_CONNECT_NOW = '57P03'
const DATABASE_MISSING = '3D000'
const FALLBACK_DATABASE = 'postgres'
const MISMATCH_HINT = 'PGTARGETSESSIONATTRS says which servers will do; PGHOST may list several'

/** A place that was tried, and why it did not do. */
interface Failure {
  readonly place: string
  readonly reason: string
  readonly error: unknown
}

/**
 * Connects as libpq would with these settings (hosts, sockets, service and password files, TLS, session
 * attributes). Throws SETTING_INVALID, CLUSTER_UNREACHABLE (every host tried and why), VERSION_UNSUPPORTED (older
 * than 13), CANCELLED.
 */
export async function connectCluster(
  settings: ConnectionSettings,
  options: ConnectOptions,
): Promise<Cluster> {
  const plan = planConnections(settings, systemSources(), options.log)
  const failures: Failure[] = []
  const targets = plan.isShuffled ? shuffle(plan.targets) : plan.targets
  for (const attributes of passesFor(plan.attributes)) {
    for (const target of targets) {
      const cluster = await tryTarget(plan, target, attributes, failures, options)
      if (cluster !== undefined) return checkVersion(cluster, options)
    }
  }
  throw unreachable(failures)
}

/** `prefer-standby` is two passes: a standby, then anything. */
function passesFor(attributes: SessionAttributes): readonly SessionAttributes[] {
  return attributes === 'prefer-standby' ? ['standby', 'any'] : [attributes]
}

/** Undefined when another place may do; the reasons are in `failures`. */
async function tryTarget(
  plan: ConnectionPlan,
  target: ConnectionTarget,
  attributes: SessionAttributes,
  failures: Failure[],
  options: ConnectOptions,
): Promise<Cluster | undefined> {
  const place = `${target.host}:${target.port}`
  let addresses: string[]
  try {
    addresses = await resolveTarget(target)
  } catch (error) {
    failures.push({ place, reason: messageOf(error), error })
    return undefined
  }
  for (const address of addresses) {
    throwIfCancelled(options.signal)
    const source: SessionSource = {
      place,
      database: plan.database,
      open: (database, signal) => openWithTls(plan, target, address, database, signal),
      openReplication: signal => openWithTls(plan, target, address, plan.database, signal, true),
    }
    try {
      const cluster = await PgCluster.open(await withFallbackDatabase(plan, source, options), options)
      const mismatch = await mismatchOf(cluster, attributes)
      if (mismatch === undefined) return cluster
      await cluster.close()
      failures.push({ place, reason: mismatch, error: undefined })
    } catch (error) {
      if (options.signal.aborted) throw cancelled(options.signal)
      const shown = address === target.host || target.isSocket ? place : `${place} (${address})`
      failures.push({ place: shown, reason: messageOf(error), error })
      // as libpq: a server that answered and refused ends the search, unless it is only starting up
      const state = sqlStateOf(error)
      if (state !== undefined && state !== CANNOT_CONNECT_NOW) throw unreachable(failures)
    }
  }
  return undefined
}

/** The source with the session it opened; `postgres` stands in when the role's own database does not exist. */
async function withFallbackDatabase(
  plan: ConnectionPlan,
  source: SessionSource,
  options: ConnectOptions,
): Promise<SessionSource & { readonly client: Client }> {
  try {
    return { ...source, client: await source.open(source.database, options.signal) }
  } catch (error) {
    if (sqlStateOf(error) !== DATABASE_MISSING || !plan.isDatabaseDefault) throw error
    options.log.debug(`database "${source.database}" does not exist, connecting to "${FALLBACK_DATABASE}"`)
    const client = await source.open(FALLBACK_DATABASE, options.signal)
    return { ...source, database: FALLBACK_DATABASE, client }
  }
}

/** One address, encrypted or not in the order that sslmode demands. */
async function openWithTls(
  plan: ConnectionPlan,
  target: ConnectionTarget,
  address: string,
  database: string,
  signal: AbortSignal,
  isReplication = false,
): Promise<Client> {
  const open = (isEncrypted: boolean): Promise<Client> =>
    openPgSession({
      target,
      address,
      user: plan.user,
      database,
      options: plan.options,
      applicationName: plan.applicationName,
      timeoutMs: plan.connectTimeoutMs,
      tls: isEncrypted ? plan.tls : undefined,
      signal,
      isReplication,
    })
  const { mode } = plan.tls
  if (target.isSocket || mode === 'disable') return await open(false)
  if (mode !== 'allow' && mode !== 'prefer') return await open(true)
  const isEncryptedFirst = mode === 'prefer'
  try {
    return await open(isEncryptedFirst)
  } catch (error) {
    // the server refused, or TLS failed: then the other way; a network that failed would fail again
    if (signal.aborted || (isNetworkFailure(error) && !isTlsFailure(error))) throw error
    if (sqlStateOf(error) !== undefined && !isRefusal(error)) throw error
    try {
      return await open(!isEncryptedFirst)
    } catch (second) {
      throw sqlStateOf(second) === undefined && sqlStateOf(error) !== undefined ? error : second
    }
  }
}

function isNetworkFailure(error: unknown): boolean {
  return sqlStateOf(error) === undefined
}

/** No TLS on the server's side, or a certificate that does not prove what it must. */
function isTlsFailure(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown }
  const text = `${String(code)} ${String(message)}`
  return /SSL|TLS|CERT|SELF_SIGNED|UNABLE_TO_/i.test(text)
}

/** Class 28: refused by pg_hba.conf or for want of the right password. */
function isRefusal(error: unknown): boolean {
  return sqlStateOf(error)?.startsWith('28') ?? false
}

async function resolveTarget(target: ConnectionTarget): Promise<string[]> {
  if (target.isSocket) return [target.host]
  if (target.hostAddress !== undefined) return [target.hostAddress]
  const found = await lookup(target.host, { all: true })
  return [...new Set(found.map(one => one.address))]
}

/** Why a session does not have the attributes asked for; undefined when it does. */
async function mismatchOf(cluster: Cluster, attributes: SessionAttributes): Promise<string | undefined> {
  if (attributes === 'any') return undefined
  const [row] = await cluster.query(
    "select pg_catalog.pg_is_in_recovery() as recovery, pg_catalog.current_setting('default_transaction_read_only') as read_only",
  )
  const isStandby = row?.['recovery'] === 't'
  const isReadOnly = isStandby || row?.['read_only'] === 'on'
  if (attributes === 'primary') return isStandby ? 'the server is a standby' : undefined
  if (attributes === 'standby') return isStandby ? undefined : 'the server is not a standby'
  if (attributes === 'read-write') return isReadOnly ? 'the session is read-only' : undefined
  return isReadOnly ? undefined : 'the session is not read-only'
}

async function checkVersion(cluster: Cluster, options: ConnectOptions): Promise<Cluster> {
  if (cluster.versionNumber < VERSION_MIN) {
    await cluster.close()
    throw new WalgError(
      'VERSION_UNSUPPORTED',
      `PostgreSQL ${cluster.majorVersion} at ${cluster.address} is too old`,
      {
        facts: { versionNumber: cluster.versionNumber },
        hint: 'PostgreSQL 13 to 18 are supported',
      },
    )
  }
  if (cluster.majorVersion > MAJOR_KNOWN_MAX) {
    options.log.warning(`PostgreSQL ${cluster.majorVersion} is newer than this program knows; going on`)
  }
  return cluster
}

function unreachable(failures: readonly Failure[]): WalgError {
  const tried = failures.map(failure => `${failure.place}: ${failure.reason}`).join('; ')
  const last = failures.at(-1)
  const own = failures.map(failure => failure.error).find(error => error instanceof WalgError)
  const hint = own instanceof WalgError ? own.hint : undefined
  return new WalgError('CLUSTER_UNREACHABLE', `failed to connect to PostgreSQL: ${tried}`, {
    facts: { tried: failures.length },
    hint: hint ?? (last?.error === undefined ? MISMATCH_HINT : hintFor(last.error)),
    ...(last?.error === undefined ? {} : { cause: last.error }),
  })
}

function hintFor(error: unknown): string {
  const state = sqlStateOf(error)
  if (state?.startsWith('28') === true) return 'check PGUSER, the password and pg_hba.conf of the server'
  if (state === '53300') return 'the server has no connection left; see max_connections and reserved slots'
  if (state === DATABASE_MISSING) return 'check PGDATABASE: any database that the role may connect to will do'
  if (state === CANNOT_CONNECT_NOW) return 'the server is starting or stopping: try again when it is ready'
  if (state !== undefined) return 'the server answered and refused: check PGOPTIONS and the log of the server'
  if (isTlsFailure(error)) return 'check PGSSLMODE and the certificates, here and on the server (ssl = on)'
  return 'check PGHOST and PGPORT, and that the server runs and listens there'
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const { code } = error as { code?: unknown }
  if (text !== '') return text
  return typeof code === 'string' ? code : 'no answer'
}

function shuffle<T>(items: readonly T[]): T[] {
  const result = [...items]
  for (let index = result.length - 1; index > 0; index--) {
    const other = Math.floor(Math.random() * (index + 1))
    ;[result[index], result[other]] = [result[other]!, result[index]!]
  }
  return result
}
