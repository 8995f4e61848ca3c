import { spawn } from 'node:child_process'
import { WalgError } from '../../kit/errors.ts'
import { silentLogger } from '../../kit/log.ts'
import type { Cluster } from '../../postgres/cluster/cluster.ts'
import { connectCluster } from '../../postgres/cluster/connect.ts'
import type { ServerPrograms } from '../../postgres/server/programs.ts'
import type { ScratchPlace } from './scratch-place.ts'
import { DRILL_PORT } from './server-configuration.ts'

/** Settings of the original for a role or a database must not load libraries, nor bound the checks. */
const SESSION_OPTIONS = [
  'session_preload_libraries=',
  'local_preload_libraries=',
  'default_transaction_read_only=off',
  'lock_timeout=60s',
]
const CONNECT_SECONDS = '20'
const SINGLE_USER_MS_MAX = 60_000
const BOOTSTRAP_ROLE_SQL = 'select rolname as bootstrap_role from pg_roles where oid = 10'

/** A session as the first of `roles` that is a superuser; undefined when none is. */
export async function connectAsSuperuser(
  place: ScratchPlace,
  roles: readonly string[],
  signal: AbortSignal,
): Promise<Cluster | undefined> {
  for (const role of new Set(roles)) {
    const cluster = await tryRole(place, role, signal)
    if (cluster === undefined) continue
    const [row] = await cluster.query(`select pg_catalog.current_setting('is_superuser') as answer`)
    if (row?.['answer'] === 'on') return cluster
    await cluster.close()
  }
  return undefined
}

async function tryRole(place: ScratchPlace, role: string, signal: AbortSignal): Promise<Cluster | undefined> {
  try {
    return await connectCluster(
      {
        PGHOST: place.socketDirectory,
        PGPORT: String(DRILL_PORT),
        PGUSER: role,
        PGDATABASE: 'template1',
        PGSSLMODE: 'disable',
        PGCONNECT_TIMEOUT: CONNECT_SECONDS,
        PGAPPNAME: 'wal-g drill',
        PGOPTIONS: SESSION_OPTIONS.map(option => `-c ${option}`).join(' '),
      },
      { log: silentLogger, signal },
    )
  } catch (error) {
    if (!(error instanceof WalgError) || error.code === 'CANCELLED') throw error
    return undefined
  }
}

/**
 * The name of the first superuser, of a server that is shut down: in single-user mode PostgreSQL asks for no role.
 * Throws CLUSTER_STATE.
 */
export function readBootstrapRole(place: ScratchPlace, programs: ServerPrograms): Promise<string> {
  return new Promise((resolve, reject) => {
    const args = [
      '--single',
      '-D',
      place.dataDirectory,
      '-c',
      `config_file=${place.configuration}`,
      'template1',
    ]
    const child = spawn(programs.postgres, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: SINGLE_USER_MS_MAX,
    })
    let output = ''
    child.stdout.on('data', (text: Buffer) => {
      output += String(text)
    })
    child.stderr.resume()
    child.once('error', reject)
    child.once('close', () => {
      const name = /bootstrap_role = "(.*?)"\s*\(typeid/.exec(output)?.[1]
      if (name !== undefined) resolve(name)
      else {
        reject(
          new WalgError('CLUSTER_STATE', 'no role that may check the restored server was found', {
            hint: 'name a superuser: --role NAME',
          }),
        )
      }
    })
    child.stdin.end(`${BOOTSTRAP_ROLE_SQL}\n`)
  })
}
