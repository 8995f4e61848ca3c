import { mkdirSync } from 'node:fs'
import type pg from 'pg'
import type { Cluster, Setting } from '../cluster.ts'
import { giveToClusterUser } from '../cluster-user.ts'
import type { Major } from '../postgres-binaries.ts'
import type { SeededRandom } from '../seeded-random.ts'
import type { TempDirectory } from '../temp-directory.ts'
import { ACTIONS, type Action } from './actions.ts'

/** What the workload has made and not removed yet. */
export interface WorkloadState {
  readonly cluster: Cluster
  readonly random: SeededRandom
  readonly databases: Map<string, WorkloadDatabase>
  /** Names of tablespaces. */
  readonly tablespaces: string[]
  /** Directory for the next tablespace. */
  tablespaceDirectory(name: string): string
  /** A name that was not used before. */
  fresh(prefix: string): string
}

export interface WorkloadDatabase {
  readonly name: string
  readonly client: pg.Client
  readonly tables: WorkloadTable[]
  /** Identifiers of prepared transactions, with the table that they create. */
  readonly prepared: { readonly id: string; readonly table: WorkloadTable }[]
  readonly largeObjects: number[]
  readonly sequences: string[]
}

export interface WorkloadTable {
  readonly name: string
  isUnlogged: boolean
  readonly indexes: string[]
}

/** Statements at random, but the same in every run with the same seed. */
export interface Workload {
  readonly state: WorkloadState
  /**
   * Runs `count` actions, one after the other. A statement that fails is an error of the generator. During a backup no tablespace is
   * created or dropped (a server that replays it beside this one would use the very same directory), and no database is moved (WAL cannot repeat it).
   */
  run(count: number, options?: { readonly isDuringBackup?: boolean }): Promise<void>
  /** What ran so far: `database: statement`, to play it again by hand. */
  readonly script: readonly string[]
  /** Every connection closed and opened again: after a crash of the server. */
  reconnect(): Promise<void>
  close(): Promise<void>
}

/** Of a server that one runs on: segments leave pg_wal as soon as they may. */
export function workloadSettings(major: Major): Readonly<Record<string, Setting>> {
  return {
    max_prepared_transactions: 50,
    autovacuum: 'off',
    wal_keep_size: 0,
    min_wal_size: '2MB',
    max_wal_size: '8MB',
    ...(major >= 17 ? { summarize_wal: 'on' } : {}),
  }
}

/** Takes backups while the workload runs on; an error of either is thrown. */
export async function underLoad<T>(workload: Workload, take: () => Promise<T>): Promise<T> {
  const isOver = { value: false }
  const load = (async () => {
    while (!isOver.value) await workload.run(1, { isDuringBackup: true })
  })()
  const taking = take()
  try {
    // the load ends before only by its error
    await Promise.race([taking, load])
  } finally {
    isOver.value = true
  }
  await load
  return await taking
}

const WEIGHTS_SUM = ACTIONS.reduce((sum, action) => sum + action.weight, 0)

/** Opens a workload on a running cluster; directories of tablespaces are made in `place`. */
export async function openWorkload(
  cluster: Cluster,
  random: SeededRandom,
  place: TempDirectory,
): Promise<Workload> {
  let serial = 0
  const state: WorkloadState = {
    cluster,
    random,
    databases: new Map(),
    tablespaces: [],
    tablespaceDirectory(name: string): string {
      const directory = place.at(name)
      mkdirSync(directory, { mode: 0o700 })
      giveToClusterUser(directory, 0o700)
      return directory
    },
    fresh: prefix => `${prefix}_${++serial}`,
  }
  const script: string[] = []
  const open = async (name: string): Promise<pg.Client> => {
    const client = await cluster.client({ database: name })
    await client.query(`set client_min_messages = 'error'; set session_replication_role = 'origin'`)
    return client
  }
  const addDatabase = async (name: string): Promise<void> => {
    const client = await open(name)
    state.databases.set(name, {
      name,
      client,
      tables: [],
      prepared: [],
      largeObjects: [],
      sequences: [],
    })
  }
  await addDatabase('postgres')
  const say = async (database: WorkloadDatabase, sql: string): Promise<pg.QueryResult> => {
    script.push(`${database.name}: ${sql}`)
    try {
      return await database.client.query(sql)
    } catch (error) {
      throw new Error(`${(error as Error).message} in\n${script.slice(-12).join('\n')}`)
    }
  }
  return {
    state,
    script,
    async run(count, { isDuringBackup = false } = {}): Promise<void> {
      for (let done = 0; done < count; ) {
        const database = random.pick([...state.databases.values()])
        const action = pickAction(random)
        if (isDuringBackup && NOT_DURING_BACKUP.has(action.name)) continue
        if (await action.run({ state, database, say, addDatabase })) done++
      }
    },
    async reconnect(): Promise<void> {
      for (const [name, database] of state.databases) {
        await database.client.end().catch(() => undefined)
        state.databases.set(name, { ...database, client: await open(name) })
      }
    },
    async close(): Promise<void> {
      for (const { client } of state.databases.values()) await client.end().catch(() => undefined)
    },
  }
}

const NOT_DURING_BACKUP: ReadonlySet<string> = new Set([
  'create tablespace',
  'drop tablespace',
  'move database',
])

function pickAction(random: SeededRandom): Action {
  let rest = random.int(WEIGHTS_SUM)
  for (const action of ACTIONS) {
    rest -= action.weight
    if (rest < 0) return action
  }
  throw new Error('the weights do not add up')
}
