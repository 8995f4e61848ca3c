import type { Mutation } from './mutation.ts'

const END_OF_WAL = 'src/operations/wal-fetch/end-of-wal.ts'
const END_OF_WAL_TEST = 'src/operations/wal-fetch/end-of-wal.test.ts'

/** The guards of where WAL ends, beside those of single objects in `rooms.ts`. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'an unfinished segment is not delivered where the archive goes on behind it',
    file: END_OF_WAL,
    find: '  if (later === undefined) {\n    log.warning',
    replace: '  {\n    log.warning',
    test: END_OF_WAL_TEST,
    title: 'where the archive goes on behind it',
  },
  {
    guard: 'pages of another place are no end of WAL',
    file: 'src/postgres/wal/page-reader.ts',
    find: ' || !this.#isSamePlace(expected - header.pageLsn)',
    replace: '',
    test: END_OF_WAL_TEST,
    title: 'pages of another place',
  },
  {
    guard: 'what is not archived is taken from pg_wal only when it is whole',
    file: END_OF_WAL,
    find: 'return checkSegment(readFileSync(path), name).fault === undefined',
    replace: 'return readFileSync(path).length > 0',
    test: END_OF_WAL_TEST,
    title: 'when it lies in pg_wal',
  },
  {
    guard: 'a fetch for pg_rewind starts nobody who writes into pg_wal',
    file: 'src/cli/commands/wal-fetch.ts',
    find: ' && !isKeptAsNamed(name, destination)',
    replace: '',
    test: 'test/hazard/wal-fetch-ahead.test.ts',
    title: 'as for pg_rewind',
  },
  {
    guard: 'a link that leads nowhere is no absence',
    file: 'src/storage/drivers/fs/place.ts',
    find: '    if (!(yield* leadsOn(place, key, path))) return',
    replace: '    if (path === "") return',
    test: 'src/storage/drivers/fs.test.ts',
    title: 'what may lie behind it',
  },
]
