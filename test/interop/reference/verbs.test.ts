import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { describeUnless, missingReference } from '../../support/skip.ts'
import { compareTrees, readTree, type Tree, withoutServerManifest } from '../restored-tree.ts'
import {
  archiveAll,
  backupNames,
  fetchBackup,
  listBackups,
  objectsOf,
  type Scene,
  startScene,
  succeed,
} from './pair.ts'

const MAJORS: readonly Major[] = [13, 15, 18]
const TIMEOUT_MS = 300_000
const reason = missingReference() ?? missingPostgres(...MAJORS)

/** Files rebuilt from increments in reverse order get mode 0644 from the original (observed R). */
function withoutModes(tree: Tree): Record<string, unknown> {
  return Object.fromEntries(Object.entries(tree).map(([name, entry]) => [name, { ...entry, mode: '' }]))
}

async function pushOurs({ cluster, env }: Scene, ...flags: string[]): Promise<void> {
  await succeed('ours', ['backup-push', cluster.dataDirectory, ...flags], env)
}

/** Two tables in a database of their own (the original always restores `postgres` whole); their files. */
async function makeShop({ cluster }: Scene): Promise<{ readonly wanted: string; readonly other: string }> {
  await cluster.query('create database shop')
  const client = await cluster.client({ database: 'shop' })
  await client.query('create table wanted as select 1 as a; create table other as select 2 as a; checkpoint')
  const { rows } = await client.query(
    `select pg_relation_filepath('wanted') as wanted, pg_relation_filepath('other') as other`,
  )
  await client.end()
  return rows[0]
}

describeUnless(reason, 'the other verbs of the original on a repository of ours', () => {
  for (const major of MAJORS) {
    test(
      `PostgreSQL ${major}: reverse unpacking, masks, single tables and the rating composer`,
      async () => {
        await using scene = await startScene(major, 'lz4', 'ours')
        const { cluster, env } = scene
        const files = await makeShop(scene)
        // an unlogged table that is written out between two backups ends a rated delta of the original: "block 0 is invalid"
        await cluster.query('drop table u')
        await pushOurs(scene)
        await cluster.query(`update t set md5 = 'x' where g % 10 = 0`)
        const delta = { ...env, WALG_DELTA_MAX_STEPS: '5', WALG_USE_RATING_COMPOSER: 'true' }
        await succeed('original', ['backup-push', cluster.dataDirectory], delta)
        const [full, onFull] = (await backupNames(scene)) as [string, string]

        const forward = readTree(await fetchBackup(scene, 'ours', onFull))
        const flags = ['--reverse-unpack', '--skip-redundant-tars']
        const reverse = readTree(await fetchBackup(scene, 'original', onFull, flags))
        expect(
          compareTrees(withoutModes(withoutServerManifest(forward)) as Tree, withoutModes(reverse) as Tree),
        ).toEqual([])

        const mask = ['--mask', 'global/*']
        const masked = readTree(await fetchBackup(scene, 'ours', full, mask, 'masked'))
        expect(Object.keys(masked)).toContain('global/pg_control')
        const maskedThere = readTree(await fetchBackup(scene, 'original', full, mask, 'masked'))
        expect(compareTrees(maskedThere, masked)).toEqual([])

        const one = ['--restore-only', 'shop/wanted']
        const single = await fetchBackup(scene, 'original', full, one, 'single')
        expect(existsSync(path.join(single, files.wanted))).toBe(true)
        expect(existsSync(path.join(single, files.other))).toBe(false)
      },
      TIMEOUT_MS,
    )
  }

  test(
    'marks, checks of the WAL and copies to another repository',
    async () => {
      await using scene = await startScene(15, 'zstd', 'ours')
      const { env, place } = scene
      await pushOurs(scene, '--add-user-data', '{"a": "b"}')
      await archiveAll(scene)
      const [full] = (await backupNames(scene)) as [string]
      await succeed('original', ['backup-mark', full], env)
      const lists = await Promise.all(
        (['ours', 'original'] as const).map(tool => listBackups(scene, tool, ['--json', '--detail'])),
      )
      expect(lists[0]).toBe(lists[1]!)
      expect(lists[0]).toContain('"is_permanent":true')
      await succeed('original', ['backup-mark', full, '-i'], env)

      const verified = await succeed('original', ['wal-verify', 'integrity', 'timeline', '--json'], env)
      expect(verified.stdout).not.toContain('FAILURE')
      const shown = await succeed('original', ['wal-show', '--detailed-json'], env)
      expect(shown.stdout).toContain(full)

      const other = place.at('other')
      mkdirSync(other)
      giveToClusterUser(other)
      writeFileSync(place.at('from.json'), JSON.stringify({ WALG_FILE_PREFIX: scene.repository }))
      writeFileSync(place.at('to.json'), JSON.stringify({ WALG_FILE_PREFIX: other }))
      const copy = ['copy', '--from', place.at('from.json'), '--to', place.at('to.json'), '-b', full]
      await succeed('original', copy, env)
      const backupObjects = (root: string): string[] =>
        objectsOf(root).filter(object => object.startsWith('basebackups_005/'))
      expect(backupObjects(other)).toEqual(backupObjects(scene.repository))
      const there = { ...scene, env: { ...env, WALG_FILE_PREFIX: other } }
      const copied = readTree(await fetchBackup(there, 'ours', full))
      expect(compareTrees(readTree(await fetchBackup(scene, 'ours', full, [], 'again')), copied)).toEqual([])
    },
    TIMEOUT_MS,
  )
})
