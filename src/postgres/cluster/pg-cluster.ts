import type { Client } from 'pg'
import { cancelled, throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import type { ReplicationSession } from '../replication/replication-session.ts'
import type { Cluster, ConnectOptions, QueryOptions, Row } from './cluster.ts'
import { fromQueryError } from './query-error.ts'

/** Where sessions on one server come from. */
export interface SessionSource {
  /** For messages: `db1:5432`. */
  readonly place: string
  readonly database: string
  open(database: string, signal: AbortSignal): Promise<Client>
  /** Physical replication, which knows no database. */
  openReplication(signal: AbortSignal): Promise<Client>
}

const QUERY_TIMEOUT_MS_DEFAULT = 60_000
/** The server's own timeout comes first; this much later we stop believing in the connection. */
const GRACE_MS = 10_000
const CLOSE_TIMEOUT_MS = 5000
const CANCEL_TIMEOUT_MS = 5000

/**
 * A session rests for hours while a backup is copied, and the checkpoint at its beginning takes its time: limits that an administrator
 * has set for clients that forget to go are not for it. Not every version has both.
 */
const OPENING_SQL = `
  select pg_catalog.pg_backend_pid() as pid, pg_catalog.current_setting('server_version_num') as version,
    (select count(pg_catalog.set_config(name, '0', false)) from pg_catalog.pg_settings
      where name in ('idle_session_timeout', 'transaction_timeout') and setting <> '0') as unlimited`

/** A session over `pg`. One statement at a time; callers that overlap are queued. */
export class PgCluster implements Cluster {
  readonly address: string
  readonly database: string
  readonly #client: Client
  readonly #source: SessionSource
  readonly #options: ConnectOptions
  readonly #lost = new AbortController()
  #versionNumber = 0
  #backendId = 0
  /** The server's statement_timeout as we last set it. */
  #timeoutMs: number | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #isClosed = false

  private constructor(source: SessionSource, client: Client, options: ConnectOptions) {
    this.#source = source
    this.#client = client
    this.#options = options
    this.address = source.place
    this.database = source.database
    client.on('error', error => this.#lose(error))
    client.on('end', () => this.#lose(new Error('the server closed the connection')))
  }

  /** Takes over an open session. */
  static async open(
    source: SessionSource & { readonly client: Client },
    options: ConnectOptions,
  ): Promise<PgCluster> {
    const cluster = new PgCluster(source, source.client, options)
    try {
      const [row] = await cluster.query(OPENING_SQL)
      cluster.#versionNumber = Number(row?.['version'])
      cluster.#backendId = Number(row?.['pid'])
      return cluster
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  get versionNumber(): number {
    return this.#versionNumber
  }

  get majorVersion(): number {
    return Math.floor(this.#versionNumber / 10_000)
  }

  get log(): Logger {
    return this.#options.log
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  query(
    sql: string,
    parameters: readonly (string | number | bigint | boolean | null)[] = [],
    options: QueryOptions = {},
  ): Promise<Row[]> {
    const run = this.#turn.then(() => this.#run(sql, parameters, options))
    this.#turn = run.catch(() => undefined)
    return run
  }

  async openSession(options: { readonly database?: string } = {}): Promise<Cluster> {
    const database = options.database ?? this.database
    const { signal } = this.#options
    try {
      const client = await this.#source.open(database, signal)
      return await PgCluster.open({ ...this.#source, database, client }, this.#options)
    } catch (error) {
      if (signal.aborted) throw cancelled(signal)
      throw fromQueryError(error, `connect to database "${database}"`, this.address, 0)
    }
  }

  async openReplication(): Promise<ReplicationSession> {
    const { signal } = this.#options
    try {
      const { ReplicationSession } = await import('../replication/replication-session.ts')
      return new ReplicationSession(await this.#source.openReplication(signal), this.address, signal)
    } catch (error) {
      if (signal.aborted) throw cancelled(signal)
      throw withReplicationHint(fromQueryError(error, 'connect for replication', this.address, 0))
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const timer = setTimeout(() => this.#destroy(), CLOSE_TIMEOUT_MS)
    try {
      await this.#client.end()
    } catch (error) {
      this.#options.log.debug(`closing the connection to ${this.address}: ${String(error)}`)
    } finally {
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #run(
    sql: string,
    parameters: readonly (string | number | bigint | boolean | null)[],
    options: QueryOptions,
  ): Promise<Row[]> {
    const signal = options.signal === null ? undefined : (options.signal ?? this.#options.signal)
    const timeoutMs = options.timeoutMs ?? QUERY_TIMEOUT_MS_DEFAULT
    throwIfCancelled(signal)
    if (this.#lost.signal.aborted) throw this.#lost.signal.reason
    const values = parameters.map(value => (typeof value === 'bigint' ? String(value) : value))
    return await this.#bounded(timeoutMs, signal, sql, async () => {
      if (this.#timeoutMs !== timeoutMs) {
        await this.#client.query(`set statement_timeout = ${Math.trunc(timeoutMs)}`)
        this.#timeoutMs = timeoutMs
      }
      const result = await this.#client.query(sql, values)
      return result.rows as Row[]
    })
  }

  /** Bounds the statement here as well, and cancels it on the server when it is told to stop. */
  async #bounded<T>(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    sql: string,
    action: () => Promise<T>,
  ): Promise<T> {
    const stop = (): void => void this.#cancel()
    signal?.addEventListener('abort', stop, { once: true })
    const timer = timeoutMs > 0 ? setTimeout(() => this.#giveUp(timeoutMs), timeoutMs + GRACE_MS) : undefined
    try {
      return await action()
    } catch (error) {
      if (signal?.aborted === true) throw cancelled(signal)
      if (this.#lost.signal.aborted) throw this.#lost.signal.reason
      throw fromQueryError(error, sql, this.address, timeoutMs)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Asks the server, over a session of its own, to stop our statement; a server that does not answer is dropped. */
  async #cancel(): Promise<void> {
    const timer = setTimeout(() => this.#destroy(), CANCEL_TIMEOUT_MS)
    try {
      const client = await this.#source.open(this.database, AbortSignal.timeout(CANCEL_TIMEOUT_MS))
      try {
        await client.query('select pg_catalog.pg_cancel_backend($1)', [this.#backendId])
      } finally {
        await client.end()
      }
      await this.#turn
    } catch (error) {
      this.#options.log.debug(`cancelling a statement at ${this.address}: ${String(error)}`)
      this.#destroy()
    } finally {
      clearTimeout(timer)
    }
  }

  #giveUp(timeoutMs: number): void {
    const text = `no answer from PostgreSQL at ${this.address} within ${timeoutMs + GRACE_MS} ms`
    this.#lose(new WalgError('CLUSTER_UNREACHABLE', text, { facts: { address: this.address } }))
    this.#destroy()
  }

  #lose(error: unknown): void {
    if (this.#isClosed || this.#lost.signal.aborted) return
    const text = error instanceof Error ? error.message : String(error)
    const reason =
      error instanceof WalgError
        ? error
        : new WalgError(
            'CLUSTER_UNREACHABLE',
            `lost the connection to PostgreSQL at ${this.address}: ${text}`,
            {
              facts: { address: this.address },
              cause: error,
            },
          )
    this.#lost.abort(reason)
  }

  #destroy(): void {
    // not in the package's types: the socket itself
    const { connection } = this.#client as unknown as { connection: { stream: { destroy(): void } } }
    connection.stream.destroy()
  }
}

/** Two things must be right for a role that may connect otherwise. */
function withReplicationHint(error: WalgError): WalgError {
  const hint = `the role needs REPLICATION, and pg_hba.conf a line "host replication <role> <address> scram-sha-256"; max_wal_senders bounds how many there can be`
  return new WalgError(error.code, error.message, { facts: error.facts, cause: error, hint })
}
