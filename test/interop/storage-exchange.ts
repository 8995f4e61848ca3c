import { expect } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { type Cluster, startCluster, startRestored } from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { commandLine, type Environment, succeed, type Tool } from './reference/pair.ts'

export const DIRECTIONS: readonly (readonly [writer: Tool, reader: Tool])[] = [
  ['ours', 'original'],
  ['original', 'ours'],
]

async function archiveAll(cluster: Cluster): Promise<void> {
  await cluster.query(`select pg_logical_emit_message(true, 'test', '')`)
  const [row] = await cluster.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name')
  const isArchived = async (): Promise<boolean> => {
    const [state] = await cluster.query<{ last: string | null }>(
      'select last_archived_wal as last from pg_stat_archiver',
    )
    return (state?.last ?? '') >= row!.name
  }
  await untilTrue(isArchived, 60_000, 'everything archived')
}

/**
 * In one storage: `writer` archives and backs up, `reader` lists, restores up to the last transaction, adds a backup of
 * its own, which `writer` restores, and deletes everything that both have stored.
 */
export async function proveExchange(
  storageOf: (tool: Tool) => Environment,
  writer: Tool,
  reader: Tool,
  objects: () => Promise<readonly string[]>,
): Promise<void> {
  using place = tempDirectory('exchange')
  mkdirSync(place.at('restored'))
  giveToClusterUser(place.at('restored'), 0o700)
  const major = 16
  const cluster = await startCluster({
    major,
    archiveCommand: commandLine(writer, storageOf(writer), 'wal-push "%p"'),
  })
  try {
    const env = (tool: Tool): Environment => ({ ...storageOf(tool), ...cluster.environment })
    await cluster.query(
      'create table t as select g, repeat(md5(g::text), 40) as text from generate_series(1, 20000) g',
    )
    await succeed(writer, ['backup-push', cluster.dataDirectory], env(writer))
    await cluster.query('insert into t select g, md5(g::text) from generate_series(1, 500) g')
    await archiveAll(cluster)
    await restore(reader, 'first')

    await succeed(reader, ['backup-push', cluster.dataDirectory, '--full'], env(reader))
    await archiveAll(cluster)
    const { stdout } = await succeed(writer, ['backup-list', '--json'], env(writer))
    expect(JSON.parse(stdout)).toHaveLength(2)
    await restore(writer, 'second')
    await succeed(reader, ['delete', 'everything', 'FORCE', '--confirm'], env(reader))
    expect(await objects()).toEqual([])

    async function restore(tool: Tool, name: string): Promise<void> {
      const target = place.at('restored', name)
      await succeed(tool, ['backup-fetch', target, 'LATEST'], storageOf(tool))
      const settings = {
        restore_command: commandLine(tool, storageOf(tool), 'wal-fetch "%f" "%p"'),
        recovery_target_action: 'promote',
      }
      await using restored = await startRestored(target, { major, settings })
      const sql = 'select count(*)::int as n, sum(hashtext(t::text)::bigint)::text as sum from t'
      expect(await restored.query(sql)).toEqual(await cluster.query(sql))
    }
  } finally {
    await cluster.remove()
  }
}
