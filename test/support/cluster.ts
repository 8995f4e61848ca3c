import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import pg from 'pg'
import { giveTreeToClusterUser, newDataDirectory } from './cluster-template.ts'
import { asClusterUser, clusterUser, giveToClusterUser, type UserIds } from './cluster-user.ts'
import { cleanUpAtEnd } from './leftovers.ts'
import { type Major, postgresDirectory } from './postgres-binaries.ts'
import { tempDirectory } from './temp-directory.ts'
import { untilTrue } from './until-true.ts'

export type Setting = string | number | boolean
export type StopMode = 'smart' | 'fast' | 'immediate'

export interface ClusterOptions {
  readonly major: Major
  /** Default 16. */
  readonly segmentSizeMiB?: number
  /** Default true. */
  readonly checksums?: boolean
  /** Lines of postgresql.conf. */
  readonly settings?: Readonly<Record<string, Setting>>
  /** Switches archiving on. */
  readonly archiveCommand?: string
  /** Default: a free one. */
  readonly port?: number
  /** false: the data directory is made, the server is not started. */
  readonly isStarted?: boolean
}

export interface RestoredOptions {
  readonly major: Major
  /** restore_command, recovery_target_*, … */
  readonly settings?: Readonly<Record<string, Setting>>
  /** `recovery` (default) puts recovery.signal, `standby` standby.signal, `none` neither. */
  readonly signal?: 'recovery' | 'standby' | 'none'
  /** What to wait for: `promoted` (default), `consistent` (accepts queries), `ended` (process gone). */
  readonly until?: 'promoted' | 'consistent' | 'ended'
  readonly timeoutMs?: number
}

/** A real PostgreSQL on 127.0.0.1, run by `user`. Superuser `postgres`, database `postgres`, trust. */
export interface Cluster extends AsyncDisposable {
  readonly major: Major
  readonly dataDirectory: string
  /** The temporary folder around it (data directory of startCluster, socket, log). */
  readonly directory: string
  readonly host: string
  readonly port: number
  readonly user: UserIds
  /** PGHOST, PGPORT, PGUSER, PGDATABASE and PGDATA, as wal-g wants them. */
  readonly environment: Readonly<Record<string, string>>
  /** Process id of the postmaster while it runs. */
  readonly pid: number | undefined
  query<Row extends object = Record<string, unknown>>(
    sql: string,
    params?: readonly unknown[],
  ): Promise<Row[]>
  /** A connection of one's own; ended by `remove` at the latest. */
  client(config?: pg.ClientConfig): Promise<pg.Client>
  /** Adds lines to postgresql.conf; takes effect with `start`, or with `reload`. */
  configure(settings: Readonly<Record<string, Setting>>): void
  reload(): Promise<void>
  start(): Promise<void>
  stop(mode?: StopMode): Promise<void>
  /** Sends a signal to the postmaster and, when that ends it, waits until it is gone. Default SIGKILL. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Resolves with the exit status when the server ends by itself. */
  ended(timeoutMs?: number): Promise<number>
  /** Everything the server has logged. */
  log(): string
  remove(): Promise<void>
}

/** A TCP port on 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 60_000

/** Process ids of the direct children of `pid`. */
function childrenOf(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split(' ').filter(Boolean).map(Number) : []
}

/** False for a zombie too: init may be slow to collect it. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function formatSettings(settings: Readonly<Record<string, Setting>>): string {
  const quote = (value: Setting): string => `'${String(value).replaceAll("'", "''")}'`
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${quote(value)}\n`)
    .join('')
}

interface Place {
  readonly major: Major
  readonly dataDirectory: string
  readonly directory: string
  readonly port: number
}

class Server implements Cluster {
  readonly major: Major
  readonly dataDirectory: string
  readonly directory: string
  readonly host = '127.0.0.1'
  readonly port: number
  readonly user: UserIds = clusterUser
  readonly environment: Readonly<Record<string, string>>
  private process: ChildProcess | undefined
  private exit: Promise<number> | undefined
  private readonly clients = new Set<pg.Client>()
  private shared: Promise<pg.Client> | undefined

  constructor(place: Place) {
    this.major = place.major
    this.dataDirectory = place.dataDirectory
    this.directory = place.directory
    this.port = place.port
    this.environment = {
      PGHOST: this.host,
      PGPORT: String(this.port),
      PGUSER: 'postgres',
      PGDATABASE: 'postgres',
      PGDATA: this.dataDirectory,
    }
  }

  get pid(): number | undefined {
    return this.process?.pid
  }

  private get logFile(): string {
    return path.join(this.directory, 'server.log')
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : ''
  }

  configure(settings: Readonly<Record<string, Setting>>): void {
    appendFileSync(path.join(this.dataDirectory, 'postgresql.conf'), `\n${formatSettings(settings)}`)
  }

  async reload(): Promise<void> {
    await this.query('select pg_reload_conf()')
  }

  /** Starts the process without waiting for anything. */
  launch(): void {
    if (this.process !== undefined) throw new Error('the cluster runs already')
    const output = openSync(this.logFile, 'a')
    const server = spawn(
      path.join(postgresDirectory(this.major), 'bin/postgres'),
      ['-D', this.dataDirectory, '-p', String(this.port)],
      {
        ...asClusterUser,
        cwd: '/',
        env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC', HOME: this.directory },
        stdio: ['ignore', output, output],
      },
    )
    closeSync(output)
    this.process = server
    const isGone = cleanUpAtEnd(() => this.stop('immediate'))
    this.exit = new Promise((resolve, reject) => {
      server.once('error', reject)
      server.once('exit', code => {
        isGone()
        this.process = undefined
        resolve(code ?? -1)
      })
    })
  }

  async start(): Promise<void> {
    this.launch()
    await this.untilState(['ready', 'standby'], START_TIMEOUT_MS)
  }

  /** Waits for a state in the last line of postmaster.pid; the server ending instead is an error. */
  async untilState(states: readonly string[], timeoutMs: number): Promise<void> {
    const pidFile = path.join(this.dataDirectory, 'postmaster.pid')
    const check = (): boolean => {
      if (this.process === undefined) return true
      const lines = existsSync(pidFile) ? readFileSync(pidFile, 'utf8').split('\n') : []
      return Number(lines[0]) === this.pid && states.includes(lines[7]?.trim() ?? '')
    }
    await untilTrue(check, timeoutMs, `PostgreSQL ${this.major} getting ${states.join(' or ')}`)
    if (this.process === undefined) {
      throw new Error(`PostgreSQL ${this.major} ended while starting:\n${this.log().slice(-3000)}`)
    }
  }

  /** Waits for the end of recovery: postmaster.pid says `ready` as soon as a hot standby takes queries. */
  async untilPromoted(timeoutMs: number): Promise<void> {
    const check = async (): Promise<boolean> => {
      if (this.process === undefined) return true
      const [row] = await this.query<{ isReplaying: boolean }>('select pg_is_in_recovery() as "isReplaying"')
      return row?.isReplaying === false
    }
    await untilTrue(check, timeoutMs, `PostgreSQL ${this.major} ending recovery`)
    if (this.process === undefined) {
      throw new Error(`PostgreSQL ${this.major} ended in recovery:\n${this.log().slice(-3000)}`)
    }
  }

  async client(config: pg.ClientConfig = {}): Promise<pg.Client> {
    const client = new pg.Client({
      host: this.host,
      port: this.port,
      user: 'postgres',
      database: 'postgres',
      ...config,
    })
    client.on('error', () => undefined) // a killed server is often what the test wants
    await client.connect()
    this.clients.add(client)
    return client
  }

  async query<Row extends object = Record<string, unknown>>(
    sql: string,
    params: readonly unknown[] = [],
  ): Promise<Row[]> {
    this.shared ??= this.client()
    const client = await this.shared.catch(error => {
      this.shared = undefined
      throw error
    })
    const result = params.length === 0 ? await client.query(sql) : await client.query(sql, [...params])
    const last = Array.isArray(result) ? result[result.length - 1] : result
    return last.rows as Row[]
  }

  private async closeClients(): Promise<void> {
    const clients = [...this.clients]
    this.clients.clear()
    this.shared = undefined
    await Promise.allSettled(clients.map(client => client.end()))
  }

  async ended(timeoutMs = STOP_TIMEOUT_MS): Promise<number> {
    await untilTrue(() => this.process === undefined, timeoutMs, `PostgreSQL ${this.major} ending`)
    await this.closeClients()
    return (await this.exit) ?? 0
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    if (this.process === undefined) return
    await this.closeClients()
    this.process?.kill(STOP_SIGNALS[mode])
    await this.ended()
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { pid } = this
    if (pid === undefined) return
    const children = childrenOf(pid)
    process.kill(pid, signal)
    if (signal === 'SIGHUP' || signal === 'SIGSTOP' || signal === 'SIGCONT') return
    await this.ended()
    // orphaned backends hold the shared memory until they notice; a new start would be refused
    await untilTrue(() => !children.some(isAlive), STOP_TIMEOUT_MS, 'backends ending')
  }

  async remove(): Promise<void> {
    await this.stop('immediate')
    tempDirectories.get(this)?.remove()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove()
  }
}

const tempDirectories = new WeakMap<Server, { remove(): void }>()

/** A new, empty cluster of `major`; quick, because initdb's result is kept and copied. fsync is off. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { major, segmentSizeMiB = 16, checksums = true, archiveCommand } = options
  const temporary = tempDirectory(`pg${major}`)
  const dataDirectory = temporary.at('data')
  newDataDirectory(dataDirectory, { major, segmentSizeMiB, checksums })
  const server = new Server({
    major,
    dataDirectory,
    directory: temporary.path,
    port: options.port ?? (await freePort()),
  })
  tempDirectories.set(server, temporary)
  server.configure({
    listen_addresses: '127.0.0.1',
    unix_socket_directories: temporary.path,
    wal_level: 'replica',
    max_wal_senders: 5,
    shared_buffers: '16MB',
    max_connections: 30,
    fsync: false,
    min_wal_size: `${segmentSizeMiB * 2}MB`,
    max_wal_size: `${segmentSizeMiB * 16}MB`,
    ...(archiveCommand === undefined ? {} : { archive_mode: 'on', archive_command: archiveCommand }),
    ...options.settings,
  })
  try {
    if (options.isStarted !== false) await server.start()
  } catch (error) {
    await server.remove()
    throw error
  }
  return server
}

/**
 * Starts PostgreSQL on a directory that a fetch has written and waits until it promoted itself, is consistent or
 * has ended. The directory stays when the cluster is removed; it is given to the cluster's user.
 */
export async function startRestored(dataDirectory: string, options: RestoredOptions): Promise<Cluster> {
  const { major, until = 'promoted', signal = 'recovery', timeoutMs = 60_000 } = options
  const temporary = tempDirectory(`pg${major}-restored`)
  const server = new Server({ major, dataDirectory, directory: temporary.path, port: await freePort() })
  tempDirectories.set(server, temporary)
  const configuration = path.join(dataDirectory, 'postgresql.conf')
  if (!existsSync(configuration)) writeFileSync(configuration, '')
  if (!existsSync(path.join(dataDirectory, 'pg_hba.conf'))) {
    writeFileSync(path.join(dataDirectory, 'pg_hba.conf'), 'host all all 127.0.0.1/32 trust\n')
  }
  server.configure({
    listen_addresses: '127.0.0.1',
    unix_socket_directories: temporary.path,
    port: server.port,
    fsync: false,
    archive_mode: 'off',
    hot_standby: true,
    ...options.settings,
  })
  if (signal !== 'none') writeFileSync(path.join(dataDirectory, `${signal}.signal`), '')
  giveTreeToClusterUser(dataDirectory)
  giveToClusterUser(dataDirectory, 0o700)
  try {
    server.launch()
    if (until === 'ended') await server.ended(timeoutMs)
    else await server.untilState(until === 'promoted' ? ['ready'] : ['ready', 'standby'], timeoutMs)
    if (until === 'promoted') await server.untilPromoted(timeoutMs)
  } catch (error) {
    await server.remove()
    throw error
  }
  return server
}
