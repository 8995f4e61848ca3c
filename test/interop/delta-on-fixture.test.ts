import { expect, test } from 'bun:test'
import path from 'node:path'
import { startRestored } from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import { type Major, missingPostgres } from '../support/postgres-binaries.ts'
import { restoreSpec } from '../support/restore-spec.ts'
import { describeUnless, missingInterop, missingReference } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { extractFixture, readFixture } from './fixture.ts'
import { commandLine, type Environment, succeed, type Tool } from './reference/pair.ts'
import { compareTrees, readTree, type Tree } from './restored-tree.ts'

const FIXTURES: readonly (readonly [string, Major])[] = [
  ['pg15-lz4-deltas', 15],
  ['pg17-zstd-deltas', 17],
  ['pg18-lz4-deltas', 18],
  ['derived-v1-sentinels', 17],
]
const TIMEOUT_MS = 600_000
const OF_THE_BACKUP = /^(backup_label|backup_manifest|tablespace_map|global\/pg_control)$/

function contentOf(tree: Tree): Tree {
  const files = Object.entries(tree).filter(([name, entry]) => !OF_THE_BACKUP.test(name) && 'size' in entry)
  return Object.fromEntries(files.map(([name, entry]) => [name, { ...entry, mode: '' }]))
}

/** The backup of a fixture in a new folder, its tablespaces beside it. */
async function fetch(
  tool: Tool,
  backup: string,
  target: string,
  oids: readonly string[],
  env: Environment,
): Promise<string> {
  const locations = Object.fromEntries(oids.map(oid => [oid, `${target}.${oid}`]))
  const flags = oids.length === 0 ? [] : restoreSpec(`${target}.json`, target, locations)
  await succeed(tool, ['backup-fetch', target, backup, ...flags], env)
  return target
}

describeUnless(missingInterop() ?? missingPostgres(15, 17, 18), 'a chain that the original has begun', () => {
  for (const [name, major] of FIXTURES) {
    test(
      `${name} goes on with a delta of ours, behind a promotion, and restores exactly`,
      async () => {
        using place = tempDirectory('fixture')
        giveToClusterUser(place.path, 0o777)
        const fixture = readFixture(name)
        const repository = extractFixture(name, place.path)
        giveToClusterUser(repository)
        const storage = {
          ...fixture.settingsToRead,
          WALG_FILE_PREFIX: repository,
          WALG_COMPRESSION_METHOD: 'lz4',
        }
        const parent = fixture.backups!.findLast(({ kind }) => kind === 'delta')!
        const oids = parent.tablespaces ?? []
        const restored = await fetch('ours', parent.name, path.join(place.path, 'cluster'), oids, storage)
        await using cluster = await startRestored(restored, {
          major,
          settings: {
            restore_command: commandLine('ours', storage, 'wal-fetch "%f" "%p"'),
            archive_mode: 'on',
            archive_command: commandLine('ours', storage, 'wal-push "%p"'),
            autovacuum: 'off',
          },
        })
        await cluster.query(
          'create table ours as select g as id, md5(g::text) as v from generate_series(1, 5000) g',
        )
        await cluster.query('checkpoint')
        const env = { ...storage, ...cluster.environment, WALG_DELTA_MAX_STEPS: '20' }
        const push = ['backup-push', cluster.dataDirectory]
        const list = async (): Promise<string[]> => {
          const { stdout } = await succeed('ours', ['backup-list', '--json'], env)
          return (JSON.parse(stdout) as { backup_name: string }[]).map(({ backup_name }) => backup_name)
        }
        await succeed('ours', [...push, '--full'], env)
        const pushed = await succeed('ours', [...push, '--delta-from-name', parent.name], env)
        const delta = (await list()).at(-1)!
        expect([pushed.stderr, delta.includes('_D_')]).toEqual([expect.any(String), true])
        await succeed('ours', [...push, '--full'], env)
        const full = (await list()).at(-1)!
        const wanted = contentOf(readTree(await fetch('ours', full, place.at('full'), oids, env)))
        const tools: readonly Tool[] =
          missingReference() === undefined && name !== 'derived-v1-sentinels'
            ? ['ours', 'original']
            : ['ours']
        for (const tool of tools) {
          const tree = readTree(await fetch(tool, delta, place.at(`delta-${tool}`), oids, env))
          expect(compareTrees(wanted, contentOf(tree))).toEqual([])
        }
      },
      TIMEOUT_MS,
    )
  }
})
