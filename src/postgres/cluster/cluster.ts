import type { Logger } from '../../kit/log.ts'
import type { ReplicationSession } from '../replication/replication-session.ts'

/** Names as in the environment (`PGHOST`, `PGPORT`, …), whatever of them is set. */
export type ConnectionSettings = Readonly<Record<string, string | undefined>>

export interface ConnectOptions {
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Column name to text as PostgreSQL prints it, exact; null for NULL. */
export type Row = Readonly<Record<string, string | null>>

export interface QueryOptions {
  /** Bound for this statement, on the server and here; default 60 s. 0: none. */
  readonly timeoutMs?: number
  /** Cancels the statement on the server; default: the signal of the connection. null: none, for cleaning up. */
  readonly signal?: AbortSignal | null
}

/** One session on a PostgreSQL server. */
export interface Cluster extends AsyncDisposable {
  /** `server_version_num`, e.g. 150018. */
  readonly versionNumber: number
  /** 13 … */
  readonly majorVersion: number
  /** Where it listens, for messages: `db1:5432` or `/var/run/postgresql:5432`. */
  readonly address: string
  readonly database: string
  /** As given when connecting. */
  readonly log: Logger
  /** Aborted, its reason a CLUSTER_UNREACHABLE, when the connection is lost; never by `close`. */
  readonly lost: AbortSignal
  /**
   * Runs one statement. Throws CLUSTER_QUERY (facts: `sqlState`), TIMEOUT, CLUSTER_UNREACHABLE when the
   * connection is lost, CANCELLED.
   */
  query(
    sql: string,
    parameters?: readonly (string | number | bigint | boolean | null)[],
    options?: QueryOptions,
  ): Promise<Row[]>
  /** Another session on the same server, optionally in another database. */
  openSession(options?: { readonly database?: string }): Promise<Cluster>
  /** A session in the replication protocol on the same server. */
  openReplication(): Promise<ReplicationSession>
  /** Idempotent; a running statement is cancelled on the server. */
  close(): Promise<void>
}
