import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import {
  type Cluster,
  type ClusterOptions,
  type Setting,
  startCluster,
  startRestored,
} from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import type { Major } from '../support/postgres-binaries.ts'
import { type Finished, type Started, startProcess } from '../support/process.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { runWalg, walgBinary, walgCommand } from '../support/walg.ts'
import { backupRoleSql } from './guide/document-blocks.ts'

export interface ArchivingOptions {
  readonly major: Major
  readonly segmentSizeMiB?: number
  readonly compression?: string
  /** In hexadecimal digits; undefined: nothing is encrypted. */
  readonly encryptionKey?: string | undefined
  /** The backup role connects by the Unix socket. */
  readonly bySocket?: boolean
  /** Settings of the storage; default: a directory. */
  readonly storage?: Readonly<Record<string, string>>
  readonly settings?: Readonly<Record<string, Setting>>
  readonly cluster?: Partial<ClusterOptions>
}

/** A server that archives with the compiled program, and a role that takes backups as the README says. */
export interface ArchivingCluster extends AsyncDisposable {
  readonly cluster: Cluster
  readonly place: TempDirectory
  /** The directory of the repository. */
  readonly repository: string
  /** Settings for every command. */
  readonly settings: Readonly<Record<string, string>>
  /** The same with the connection of the backup role to `cluster`, or to another server with that role. */
  connection(cluster?: Cluster): Record<string, string>
}

export async function startArchivingCluster(options: ArchivingOptions): Promise<ArchivingCluster> {
  const { major, segmentSizeMiB = 16, compression = 'lz4' } = options
  const place = tempDirectory('e2e')
  const repository = place.at('repository')
  mkdirSync(repository)
  giveToClusterUser(repository, 0o700)
  const settings = {
    ...(options.storage ?? { WALG_FILE_PREFIX: repository }),
    WALG_COMPRESSION_METHOD: compression,
    WALG_PG_WAL_SIZE: String(segmentSizeMiB),
    ...(options.encryptionKey === undefined
      ? {}
      : { WALG_LIBSODIUM_KEY: options.encryptionKey, WALG_LIBSODIUM_KEY_TRANSFORM: 'hex' }),
  }
  const cluster = await startCluster({
    major,
    segmentSizeMiB,
    archiveCommand: walgCommand(settings, 'wal-push %p'),
    ...options.cluster,
    settings: { password_encryption: 'scram-sha-256', max_wal_senders: 5, ...options.settings },
  })
  const passwords = place.at('pgpass')
  writeFileSync(passwords, '*:*:*:wal_g:choose-a-password\n')
  giveToClusterUser(passwords, 0o600)
  await admitBackupRole(cluster)
  return {
    cluster,
    place,
    repository,
    settings,
    connection: (server = cluster) => ({
      ...settings,
      PGHOST: options.bySocket === true ? server.directory : server.host,
      PGPORT: String(server.port),
      PGUSER: 'wal_g',
      PGDATABASE: 'postgres',
      PGPASSFILE: passwords,
      PGDATA: server.dataDirectory,
    }),
    async [Symbol.asyncDispose]() {
      await cluster.remove()
      place.remove()
    },
  }
}

/** Superusers by trust, everybody else by password, on the socket as well as over TCP. */
export const HBA: readonly string[] = [
  'local all postgres trust',
  'host all postgres 127.0.0.1/32 trust',
  'host replication postgres 127.0.0.1/32 trust',
  'local all all scram-sha-256',
  'host all all 127.0.0.1/32 scram-sha-256',
]

async function admitBackupRole(cluster: Cluster): Promise<void> {
  const hba = path.join(cluster.dataDirectory, 'pg_hba.conf')
  writeFileSync(hba, `${HBA.join('\n')}\n`)
  chmodSync(hba, 0o644)
  await cluster.query(backupRoleSql(cluster.major))
  await cluster.reload()
}

/** The backup role may take backups over the wire, too. */
export async function admitReplication(cluster: Cluster): Promise<void> {
  await cluster.query('alter role wal_g replication')
  writeFileSync(
    path.join(cluster.dataDirectory, 'pg_hba.conf'),
    `${[...HBA, 'host replication wal_g 127.0.0.1/32 scram-sha-256'].join('\n')}\n`,
  )
  await cluster.reload()
}

/** Runs the program as the server's user; anything but exit status 0 is an error with what it said. */
export async function walg(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Finished> {
  const finished = await runWalg(args, { env, asClusterUser: true })
  if (finished.exit !== 0) {
    throw new Error(`wal-g ${args.join(' ')}: status ${finished.exit ?? finished.signal}\n${finished.stderr}`)
  }
  return finished
}

/** Lines of a log that are not plain information; that the archiver of a busy machine lags behind is none. */
export function complaints(stderr: string): string[] {
  return stderr
    .split('\n')
    .filter(
      line => /^(WARNING|ERROR)/.test(line) && !line.includes('still waiting for PostgreSQL to archive'),
    )
}

/** Ends the current segment and waits until the archiver has pushed it; returns its name. */
export async function archiveEverything(cluster: Cluster, timeoutMs = 60_000): Promise<string> {
  await cluster.query(`select pg_logical_emit_message(true, 'test', '')`) // an empty segment would not be ended
  const sql = 'select pg_walfile_name(pg_switch_wal()) as name'
  const [row] = await cluster.query<{ name: string }>(sql)
  const name = row!.name
  const isArchived = async (): Promise<boolean> => {
    const [state] = await cluster.query<{ last: string | null }>(
      'select last_archived_wal as last from pg_stat_archiver',
    )
    return (state?.last ?? '').slice(0, 24) >= name
  }
  await untilTrue(isArchived, timeoutMs, `archiving of ${name}`)
  return name
}

/** Until the standby has replayed all that the primary has written. */
export async function untilReplayed(primary: Cluster, standby: Cluster): Promise<void> {
  const [row] = await primary.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn')
  const sql = `select pg_last_wal_replay_lsn() >= '${row!.lsn}' as is`
  const isThere = async (): Promise<boolean> => (await standby.query<{ is: boolean }>(sql))[0]!.is
  await untilTrue(isThere, 30_000, 'the standby catching up')
}

export interface WriteLoad {
  /** Returns when no statement runs and none begins. */
  pause(): Promise<void>
  resume(): void
  /** Ends the load; an error of a statement comes out here. */
  stop(): Promise<void>
}

/** A client that inserts and updates all the time, in the table `ledger`. */
export async function startWriteLoad(cluster: Cluster, rowsEach = 15): Promise<WriteLoad> {
  const client = await cluster.client()
  const load: { state: 'running' | 'paused' | 'stopped' } = { state: 'running' }
  let isBusy = false
  const work = (async () => {
    for (let round = 0; load.state !== 'stopped'; round++) {
      if (load.state === 'paused') {
        await Bun.sleep(2)
        continue
      }
      isBusy = true
      await client.query(
        `insert into ledger (note) select md5(random()::text) || repeat('x', 100) from generate_series(1, ${rowsEach})`,
      )
      await client.query(
        `update ledger set note = md5(note), changes = changes + 1 where id % 100 = ${round % 100} and id <= 5000`,
      )
      isBusy = false
      await Bun.sleep(10) // enough for a write in every moment of a backup; more would only be more WAL
    }
  })()
  work.catch(() => undefined)
  return {
    async pause() {
      load.state = 'paused'
      await untilTrue(() => !isBusy, 10_000, 'the load pausing')
    },
    resume() {
      load.state = 'running'
    },
    async stop() {
      load.state = 'stopped'
      await work
      await client.end()
    },
  }
}

export const LEDGER_SQL = `
  create table ledger (id bigserial primary key, note text not null, changes int not null default 0, at timestamptz default now());
  create index on ledger (note);
  insert into ledger (note) select md5(g::text) from generate_series(1, 10000) g`

/** A digest of a table: equal when the rows are. */
export async function digest(cluster: Cluster, table: string): Promise<string> {
  const [row] = await cluster.query<{ digest: string }>(
    `select count(*) || ' rows, ' || coalesce(sum(hashtext(t::text)::bigint), 0) as digest from ${table} t`,
  )
  return row!.digest
}

/** Waits until a server that is up has left recovery. */
export async function untilPromoted(cluster: Cluster): Promise<void> {
  await untilTrue(
    async () => (await cluster.query<{ r: boolean }>('select pg_is_in_recovery() as r'))[0]?.r === false,
    30_000,
    'the promotion',
  )
}

/** A standby of a server that archives; it streams, and does not archive itself until it is promoted. */
export async function startStandby(
  source: ArchivingCluster,
  name: string,
  settings: Readonly<Record<string, Setting>> = {},
): Promise<Cluster> {
  const { cluster, place } = source
  const data = place.at(name)
  await cluster.stop()
  cpSync(cluster.dataDirectory, data, { recursive: true, verbatimSymlinks: true })
  await cluster.start()
  return startRestored(data, {
    major: cluster.major,
    signal: 'standby',
    until: 'consistent',
    settings: { primary_conninfo: `host=127.0.0.1 port=${cluster.port} user=postgres`, ...settings },
  })
}

/** Starts a command of the program as the server's user without waiting. */
export function startWalgAsCluster(args: readonly string[], env: Readonly<Record<string, string>>): Started {
  return startProcess(walgBinary(), args, {
    env: { PATH: process.env['PATH'], TZ: 'UTC', HOME: '/', ...env },
    asClusterUser: true,
  })
}
