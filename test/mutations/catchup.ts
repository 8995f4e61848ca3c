import type { Mutation } from './mutation.ts'

const HOLES_TEST = 'src/operations/backup-fetch/catchup/no-holes.test.ts'
const PLAN = 'src/operations/backup-push/delta/plan-catchup.ts'
const PLAN_TEST = 'src/operations/backup-push/delta/plan-catchup.test.ts'
const STALE = 'src/operations/backup-fetch/catchup/stale-wal.ts'
const STALE_TEST = 'src/operations/backup-fetch/catchup/stale-wal.test.ts'
const DROPPED = 'src/operations/backup-fetch/catchup/remove-dropped.ts'

/** The guards of catchup: a standby never gets a page that is not the primary's. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'an increment leaves no hole behind the end of a file',
    file: 'src/operations/backup-fetch/catchup/no-holes.ts',
    find: 'if (block > next || next >= end) break',
    replace: 'if (next >= end) break',
    test: HOLES_TEST,
  },
  {
    guard: 'an old page proves nothing when another database has a file of that name',
    file: PLAN,
    find: 'else if (owner !== place) owners.set(number, SHARED)',
    replace: '',
    test: PLAN_TEST,
  },
  {
    guard: 'an old page proves nothing when its relation may have come with a template that is gone',
    file: PLAN,
    find: ' || !(number > databaseAt(input, place))',
    replace: '',
    test: PLAN_TEST,
  },
  {
    guard: 'unlogged relations are stored whole',
    file: PLAN,
    find: 'else if (!isUnlogged(index)) {',
    replace: 'else {',
    test: PLAN_TEST,
  },
  {
    guard: 'only relations are removed from a standby',
    file: DROPPED,
    find: 'return DATABASE_FILES.includes(name) || parseRelationFile(member) !== undefined',
    replace: 'return DATABASE_FILES.includes(name) || member !== undefined',
    test: 'src/operations/backup-fetch/catchup/remove-dropped.test.ts',
  },
  {
    guard: 'WAL from before a gap does not stop the summarizer of a standby',
    file: STALE,
    find: 'for (const { name } of removed) remove(path.join(directory, name))',
    replace: '',
    test: STALE_TEST,
  },
  {
    guard: 'a catchup removes no segment that waits to be archived',
    file: STALE,
    find: 'const removed = stale.filter(({ name }) => !ready.has(name))',
    replace: 'const removed = stale',
    test: STALE_TEST,
  },
  {
    guard: 'a file that holds another segment closes no gap',
    file: STALE,
    find: 'if (isBegun(directory, name, beginLsn)) found.add(beginLsn)',
    replace: 'found.add(beginLsn)',
    test: STALE_TEST,
  },
  {
    guard: 'a standby that has replayed what the archive does not have any more is refused',
    file: 'src/operations/backup-fetch/catchup/standby-history.ts',
    find: 'if (!isOtherCheckpoint(at, { redoLsn, timeSeconds })) return undefined',
    replace: 'if (at !== undefined) return undefined',
    test: 'test/e2e/delta/rolled-back-cluster.test.ts',
    title: 'catchup',
  },
]
