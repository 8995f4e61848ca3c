import { Socket } from 'node:net'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'
import type { Client, ClientConfig } from 'pg'
import { WalgError } from '../../kit/errors.ts'
import type { ConnectionTarget } from './connection-plan.ts'
import type { TlsPlan } from './tls-plan.ts'

/** Everything one attempt needs; `address` is numeric, or the directory of a socket. */
export interface SessionAttempt {
  readonly target: ConnectionTarget
  readonly address: string
  readonly user: string
  readonly database: string
  readonly options: string | undefined
  readonly applicationName: string
  readonly timeoutMs: number
  /** Undefined: in plain text. */
  readonly tls: TlsPlan | undefined
  readonly signal: AbortSignal
  /** Speaks the replication protocol instead of SQL. */
  readonly isReplication?: boolean
}

/** Rows as text, exactly as the server prints values. */
const asText = { getTypeParser: () => (value: string) => value }
const KEEP_ALIVE_DELAY_MS = 10_000

/**
 * Opens one `pg` session, the only place that knows the package. Throws what the package throws, and CANCELLED through
 * `signal` (the socket is destroyed).
 */
export async function openPgSession(attempt: SessionAttempt): Promise<Client> {
  const { Client: OpenClient } = await import('pg').then(module => module.default)
  const socket = new Socket()
  const config: ClientConfig & { sslnegotiation?: string; replication?: string } = {
    host: attempt.address,
    port: attempt.target.port,
    user: attempt.user,
    database: attempt.database,
    application_name: attempt.applicationName,
    connectionTimeoutMillis: attempt.timeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    ssl: attempt.tls === undefined ? false : tlsOptions(attempt.tls, attempt.target),
    // never the package's own search for passwords: the plan has decided
    password: () => passwordOf(attempt),
    types: asText,
    stream: () => socket,
    sslnegotiation: attempt.tls?.isDirect === true ? 'direct' : 'postgres',
    ...(attempt.options === undefined ? {} : { options: attempt.options }),
    ...(attempt.isReplication === true ? { replication: 'true' } : {}),
  }
  const client = new OpenClient(config)
  const stop = (): void => {
    socket.destroy(new Error('the work was interrupted'))
  }
  // an error after connecting is reported through the session; before, connect() rejects
  client.on('error', () => {})
  attempt.signal.addEventListener('abort', stop, { once: true })
  try {
    await client.connect()
    return client
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    attempt.signal.removeEventListener('abort', stop)
  }
}

function passwordOf(attempt: SessionAttempt): string {
  const { password } = attempt.target
  if (password !== undefined) return password
  throw new WalgError('CLUSTER_UNREACHABLE', 'no password supplied', {
    hint: 'set PGPASSWORD, or better a line in ~/.pgpass (mode 0600)',
  })
}

function tlsOptions(plan: TlsPlan, target: ConnectionTarget): ConnectionOptions {
  return {
    rejectUnauthorized: plan.isVerified,
    minVersion: plan.versionMin,
    ...(plan.versionMax === undefined ? {} : { maxVersion: plan.versionMax }),
    ...(plan.roots === undefined ? {} : { ca: splitCertificates(plan.roots) }),
    ...(plan.certificate === undefined ? {} : { cert: plan.certificate, key: plan.key }),
    ...(plan.passphrase === undefined ? {} : { passphrase: plan.passphrase }),
    ...(plan.revocations === undefined ? {} : { crl: plan.revocations }),
    ...(plan.hasServerName && !isNumeric(target.host) ? { servername: target.host } : {}),
    checkServerIdentity: (_name, certificate) =>
      plan.isNameVerified ? checkServerIdentity(target.host, certificate) : undefined,
  }
}

function isNumeric(host: string): boolean {
  return /^[\d.]+$|:/.test(host)
}

function splitCertificates(pem: string): string[] {
  return pem.match(/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----[\s\S]*?-----END [A-Z0-9 ]*CERTIFICATE-----/g) ?? []
}
