import { deleteObjects } from '../../operations/delete/delete.ts'
import type { DeleteRequest } from '../../operations/delete/request.ts'
import { withWriteGuard } from '../../storage/layers/write-guard.ts'
import type { Storage } from '../../storage/storage.ts'
import type { CommandDefinition, FlagDefinition, Invocation } from '../command.ts'
import { withOpened } from '../opened-storages.ts'
import { renderPlanJson } from '../render/delete-plan.ts'
import type { Settings } from '../settings.ts'
import {
  type DeleteArguments,
  planOptionsOf,
  readBefore,
  readEverything,
  readGarbage,
  readRetain,
  readTarget,
} from './delete-arguments.ts'
import { POLICY_FLAGS, readPolicy } from './delete-policy.ts'

/** What the sub-commands share; the rest are theirs. */
function subcommand(
  definition: Pick<CommandDefinition, 'name' | 'usage' | 'positionals' | 'examples'> & {
    readonly flags?: readonly FlagDefinition[]
  },
  read: (given: DeleteArguments, settings?: Settings) => DeleteRequest,
): CommandDefinition {
  return {
    summary: '',
    flags: [],
    ...definition,
    needsStorage: true,
    check: given => void read(given),
    run: invocation => runDelete(invocation, read(invocation, invocation.settings)),
  }
}

const BEFORE = subcommand(
  {
    name: 'before',
    usage: 'before [FIND_FULL] backup_name|timestamp',
    positionals: { kind: 'range', min: 1, max: 2 },
    examples: `  before base_0123              keep everything after base_0123 including itself
  before FIND_FULL base_0123    keep everything after the base of base_0123`,
  },
  readBefore,
)

const EVERYTHING = subcommand(
  {
    name: 'everything',
    usage: 'everything [FORCE]',
    positionals: { kind: 'range', min: 0, max: 1 },
    examples: `  everything                
	delete every backup only if there is no permanent backups
  everything FORCE          delete every backup include permanents`,
  },
  readEverything,
)

const GARBAGE = subcommand(
  {
    name: 'garbage',
    usage: 'garbage [ARCHIVES|BACKUPS]',
    positionals: { kind: 'range', min: 0, max: 1 },
    flags: [
      {
        name: 'without-backup-check',
        type: 'boolean',
        doc: 'skip check for existing non-permanent backups',
      },
    ],
    examples: `  garbage           Deletes outdated WAL archives and leftover backups files from storage
  garbage ARCHIVES  Deletes only outdated WAL archives from storage
  garbage BACKUPS   Deletes only leftover backups files from storage`,
  },
  readGarbage,
)

const POLICY = subcommand(
  {
    name: 'policy',
    usage: 'policy',
    positionals: { kind: 'none' },
    flags: POLICY_FLAGS,
    examples: `  policy                               keep what the settings WALG_POLICY_KEEP_... say
  policy --keep-full 4                 keep 4 full backups and everything since
  policy --keep-window 7d --keep-weekly 5 --keep-monthly 12
                                       recovery to any moment of 7 days, and older backups by the calendar`,
  },
  readPolicy,
)

const RETAIN = subcommand(
  {
    name: 'retain',
    usage: 'retain [FULL|FIND_FULL] backup_count',
    positionals: { kind: 'range', min: 1, max: 2 },
    flags: [{ name: 'after', short: 'a', type: 'string', doc: 'Set the time after which retain backups' }],
    examples: `  retain 5                      keep 5 backups
  retain FULL 5                 keep 5 full backups and all deltas of them
  retain FIND_FULL 5            find necessary full for 5th and keep everything after it
  retain 5 --after 2019-12-12T12:12:12Z   keep 5 most recent backups and backups made after 2019-12-12 12:12:12`,
  },
  readRetain,
)

const TARGET = subcommand(
  {
    name: 'target',
    usage: 'target [FIND_FULL] backup_name | --target-user-data <data>',
    positionals: { kind: 'range', min: 0, max: 2 },
    flags: [
      {
        name: 'target-user-data',
        type: 'string',
        doc: 'delete storage backup which has the specified user data',
      },
    ],
    examples: `  target base_0000000100000000000000C4	delete base backup by name
  target --target-user-data "{ \\"x\\": [3], \\"y\\": 4 }"	delete backup specified by user data
  target base_0000000100000000000000C9_D_0000000100000000000000C4	delete delta backup and all dependant delta backups 
  target FIND_FULL base_0000000100000000000000C9_D_0000000100000000000000C4	delete delta backup and all delta backups with the same base backup`,
  },
  readTarget,
)

export const command: CommandDefinition = {
  name: 'delete',
  usage: 'delete',
  summary: 'Clears old backups and WALs',
  positionals: { kind: 'none' },
  flags: [
    { name: 'confirm', type: 'boolean', doc: 'Confirms backup deletion' },
    { name: 'json', type: 'boolean', doc: 'Prints the plan: what goes, what stays, and why' },
    {
      name: 'use-sentinel-time',
      type: 'boolean',
      doc: 'Use backup creation time from sentinel for backups ordering.',
    },
  ],
  subcommands: [BEFORE, EVERYTHING, GARBAGE, POLICY, RETAIN, TARGET],
  needsStorage: true,
  run: async () => 0,
}

async function runDelete(invocation: Invocation, request: DeleteRequest): Promise<number> {
  const { flags, log, progress, signal } = invocation
  const isConfirmed = flags['confirm'] === true
  return withOpened(await invocation.openForDelete(), async ({ first, others }) => {
    const guarded = (storage: Storage): Storage => (isConfirmed ? storage : withWriteGuard(storage))
    const { plan, isExecuted } = await deleteObjects(
      {
        storage: guarded(first.storage),
        otherStorages: others.map(({ storage }) => guarded(storage)),
        log,
        progress,
        signal,
      },
      { request, isConfirmed, ...planOptionsOf(invocation) },
    )
    if (flags['json'] === true) {
      await invocation.print(`${renderPlanJson(plan, { request: request.kind, isExecuted })}\n`)
    }
    return 0
  })
}
