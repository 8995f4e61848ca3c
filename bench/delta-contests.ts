import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Contender, compete, type Standing } from './contest.ts'
import { treeBytes } from './data-sets.ts'
import { time } from './measure.ts'
import type { DataSetName, Method } from './options.ts'
import { emptyRepository, type Place, repositoryOf, walgEnvironment, walgPrograms } from './place.ts'

/** One row of a hundred, all over each table. */
const UPDATES: Readonly<Record<DataSetName, string>> = {
  tables: 'update accounts set abalance = abalance + 1 where aid % 100 = 0',
  incompressible: 'update noise set n = n + 1 where n % 100 = 0',
  'small-files': `do $$ begin for t in 1..10000 loop
    execute format('update small_%s set value = value where id = 100', t); end loop;
    exception when undefined_table then null; end $$`,
}

/**
 * A delta of a full backup that the same program has taken, after the update of `change`, or after nothing. Every run has the
 * same parent and the same changes.
 */
export async function contestDeltaPush(
  place: Place,
  method: Method,
  change: DataSetName | 'nothing',
): Promise<Standing[]> {
  const { cluster } = place
  await cluster.query('checkpoint')
  // so that no file counts as written while the parent was taken
  await Bun.sleep(3000)
  const contenders = walgPrograms(place.options).map((program): Contender => {
    const repository = repositoryOf(place, `delta-${program.name}`)
    const backups = path.join(repository, 'basebackups_005')
    const env = { ...walgEnvironment(place, repository, method), WALG_DELTA_MAX_STEPS: '5' }
    const command = { file: program.file, args: ['backup-push', cluster.dataDirectory], env }
    emptyRepository(repository)
    time(command)
    const parent = new Set(readdirSync(backups))
    const prepare = (): void => {
      for (const name of readdirSync(backups)) {
        if (!parent.has(name)) rmSync(path.join(backups, name), { recursive: true })
      }
    }
    const fullBytes = treeBytes(backups)
    return { name: program.name, command, prepare, storedBytes: () => treeBytes(backups) - fullBytes }
  })
  if (change !== 'nothing') {
    await cluster.query(UPDATES[change])
    await cluster.query('checkpoint')
  }
  return compete(`delta-push ${method}, ${change}`, contenders, place.options.runs)
}
