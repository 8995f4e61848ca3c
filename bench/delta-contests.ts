import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Contender, compete, type Standing } from './contest.ts'
import { treeBytes } from './data-sets.ts'
import { type CommandLine, time } from './measure.ts'
import type { DataSetName, Method } from './options.ts'
import {
  emptyRepository,
  type Place,
  repositoryOf,
  type WalgProgram,
  walgEnvironment,
  walgPrograms,
} from './place.ts'

/** One row of a hundred, all over each table. */
const UPDATES: Readonly<Record<DataSetName, string>> = {
  tables: 'update accounts set abalance = abalance + 1 where aid % 100 = 0',
  pgbench: 'update pgbench_accounts set abalance = abalance + 1 where aid % 100 = 0',
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
  const programs = walgPrograms(place.options)
  const byReading = { ...programs[0]!, name: `${programs[0]!.name}, by reading` }
  const all = place.options.major >= 17 ? [...programs, byReading] : programs
  const contenders = all.map((program): Contender => {
    const repository = repositoryOf(place, `delta-${program.name}`)
    const backups = path.join(repository, 'basebackups_005')
    const env = {
      ...walgEnvironment(place, repository, method),
      WALG_DELTA_MAX_STEPS: '5',
      ...(program === byReading ? { WALG_CHANGED_BLOCKS: 'scan' } : {}),
    }
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

const CHAIN_DELTAS = 4

/**
 * A chain of a full backup and four deltas into an empty directory, an update of one row in a hundred between two of
 * them; beside ours a full backup of what the chain ends in, and both ways of the original.
 */
export async function contestChainFetch(
  place: Place,
  method: Method,
  change: DataSetName,
): Promise<Standing[]> {
  const [ours, ...others] = walgPrograms(place.options)
  const chains = [ours!, ...others].map(program => makeRepository(place, program, method, 'chain', 5))
  const full = makeRepository(place, ours!, method, 'last-full', 0)
  for (let backup = 0; backup <= CHAIN_DELTAS; backup++) {
    if (backup > 0) await place.cluster.query(UPDATES[change])
    await place.cluster.query('checkpoint')
    for (const chain of chains) time(chain.push)
  }
  time(full.push)
  const backwards = ['--reverse-unpack', '--skip-redundant-tars']
  const contenders = [
    chains[0]!.fetch(chains[0]!.name),
    full.fetch(`${ours!.name}, of a full backup`),
    ...chains.slice(1).map(({ fetch, name }) => fetch(name)),
    ...chains.slice(1).map(({ fetch, name }) => fetch(`${name} ${backwards.join(' ')}`, backwards)),
  ]
  return compete(`chain-fetch ${method}`, contenders, place.options.runs)
}

interface ChainRepository {
  readonly name: string
  readonly push: CommandLine
  fetch(name: string, flags?: readonly string[]): Contender
}

function makeRepository(
  place: Place,
  program: WalgProgram,
  method: Method,
  kind: string,
  deltaSteps: number,
): ChainRepository {
  const repository = repositoryOf(place, `${kind}-${program.name}`)
  const target = place.directory.at('restored', `${kind}-${program.name}`)
  const { file } = program
  const env = {
    ...walgEnvironment(place, repository, method),
    WALG_DELTA_MAX_STEPS: String(deltaSteps),
  }
  emptyRepository(repository)
  return {
    name: program.name,
    push: { file, args: ['backup-push', place.cluster.dataDirectory], env },
    fetch: (name, flags = []) => ({
      name,
      command: { file, args: ['backup-fetch', target, 'LATEST', ...flags], env },
      prepare: () => {
        rmSync(target, { recursive: true, force: true })
        mkdirSync(path.dirname(target), { recursive: true })
      },
    }),
  }
}
