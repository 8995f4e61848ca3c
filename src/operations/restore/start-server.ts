import path from 'node:path'
import { WalgError } from '../../kit/errors.ts'
import { silentLogger } from '../../kit/log.ts'
import type { Cluster, ConnectionSettings } from '../../postgres/cluster/cluster.ts'
import { connectCluster } from '../../postgres/cluster/connect.ts'
import { formatTimeTarget } from '../../postgres/recovery-target.ts'
import { findServerPrograms, type ServerPrograms } from '../../postgres/server/programs.ts'
import { type RecoveryEnd, untilRecovered } from '../../postgres/server/recovery-progress.ts'
import { notAsRoot, ServerProcess } from '../../postgres/server/server-process.ts'
import type { OperationContext } from '../context.ts'
import type { RestoreOptions, StartOptions } from './options.ts'
import type { RestoreResult } from './restore.ts'

export interface StartedServer {
  /** Undefined when it shut itself down at the target. */
  readonly pid: number | undefined
  readonly end: RecoveryEnd
  /** Where it listens, for messages. */
  readonly address: string
  readonly logFile: string
}

/** What must be so for a start, before anything is restored. Throws as `findServerPrograms`; CLUSTER_STATE as root. */
export function prepareStart(majorVersion: number, options: StartOptions): Promise<ServerPrograms> {
  if (process.getuid?.() === 0) throw notAsRoot()
  const { binDirectory, searchPath } = options
  return findServerPrograms({ majorVersion, directory: binDirectory, searchPath })
}

/** Starts the restored server and waits until it is where it was to go. It goes on when this process ends. */
export async function startRestored(
  context: OperationContext,
  { root, configuration }: RestoreResult,
  choice: Pick<RestoreOptions, 'action' | 'target'>,
  options: StartOptions,
  programs: ServerPrograms,
): Promise<StartedServer> {
  if (!configuration.hasConfiguration) throw noConfiguration(root)
  const logFile = `${root}.log`
  const server = ServerProcess.start({
    programs,
    dataDirectory: root,
    logFile,
    settings: {
      // a data_directory in the file could lead to another server's data
      ...(configuration.otherDataDirectory === undefined ? {} : { data_directory: root }),
      ...(options.port === undefined ? {} : { port: String(options.port) }),
    },
  })
  context.log.info(
    `PostgreSQL ${programs.version} starts in "${root}", process ${server.pid}, log "${logFile}"`,
  )
  const until = endOf(choice)
  await using asker = new Asker(server, options)
  await untilRecovered(server, {
    until,
    timeoutMs: options.timeoutMs,
    signal: context.signal,
    isPaused: () => asker.isPaused(),
    onConsistent: () => context.log.info('The server is consistent and takes queries'),
  })
  const file = server.postmaster()
  const address = file === undefined ? root : `${file.socketDirectory || file.listenAddress}:${file.port}`
  context.log.info(await farewell(until, asker))
  return { pid: server.ending === undefined ? server.pid : undefined, end: until, address, logFile }
}

function endOf({ action, target }: Pick<RestoreOptions, 'action' | 'target'>): RecoveryEnd {
  if (target.kind === 'latest' || action === 'promote') return 'promoted'
  return action === 'pause' ? 'paused' : 'shut down'
}

async function farewell(end: RecoveryEnd, asker: Asker): Promise<string> {
  if (end === 'shut down') return 'The target is reached; the server has shut down'
  const last = await asker.lastTransaction()
  const seen = last === undefined ? '' : `; the last transaction ended at ${last}`
  if (end === 'promoted') return `Recovery is complete, the server is promoted${seen}`
  return `The target is reached, recovery pauses${seen}. Look, then: SELECT pg_wal_replay_resume()`
}

/** Asks the server about itself, by whichever role gets in. */
class Asker implements AsyncDisposable {
  readonly #server: ServerProcess
  readonly #options: StartOptions
  #cluster: Cluster | undefined

  constructor(server: ServerProcess, options: StartOptions) {
    this.#server = server
    this.#options = options
  }

  /** Undefined when nobody gets in. */
  async isPaused(): Promise<boolean | undefined> {
    const row = await this.#ask('select pg_catalog.pg_is_wal_replay_paused() as answer')
    return row === undefined ? undefined : row === 't'
  }

  async lastTransaction(): Promise<string | undefined> {
    const micros = await this.#ask(
      `select (extract(epoch from pg_catalog.pg_last_xact_replay_timestamp()) * 1000000)::bigint as answer`,
    )
    return micros === undefined || micros === '' ? undefined : formatTimeTarget(BigInt(micros))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster?.close()
  }

  async #ask(sql: string): Promise<string | undefined> {
    try {
      this.#cluster ??= await this.#connect()
      const [row] = (await this.#cluster?.query(sql)) ?? []
      return row?.['answer'] ?? undefined
    } catch (error) {
      // what cannot be asked shows in the log of the server
      if (!(error instanceof WalgError)) throw error
      await this.#cluster?.close()
      this.#cluster = undefined
      return undefined
    }
  }

  async #connect(): Promise<Cluster | undefined> {
    const file = this.#server.postmaster()
    if (file?.port === undefined) return undefined
    const { connection, userName } = this.#options
    const host = file.socketDirectory || file.listenAddress
    const local = (PGUSER: string): ConnectionSettings => ({
      PGHOST: host.startsWith('/') ? host : host === '*' || host === '' ? '127.0.0.1' : host,
      PGPORT: String(file.port),
      PGUSER,
      PGDATABASE: 'postgres',
      PGCONNECT_TIMEOUT: '5',
    })
    const users = [userName, 'postgres'].filter(name => name !== undefined)
    const ways = [...users.map(local), { ...connection, PGPORT: String(file.port), PGCONNECT_TIMEOUT: '5' }]
    for (const settings of ways) {
      try {
        return await connectCluster(settings, { log: silentLogger, signal: new AbortController().signal })
      } catch (error) {
        if (!(error instanceof WalgError)) throw error
      }
    }
    return undefined
  }
}

function noConfiguration(root: string): WalgError {
  return new WalgError(
    'FILE_NOT_FOUND',
    `there is no "${path.join(root, 'postgresql.conf')}" to start with`,
    {
      facts: { directory: root },
      hint: `the directory is restored. Put the configuration in place, or start it by hand: postgres -D ${root} -c config_file=…`,
    },
  )
}
