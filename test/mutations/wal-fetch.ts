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
    guard: 'a file with older pages is no proof that the archive goes on',
    file: 'src/operations/wal-fetch/later-segment.ts',
    find: 'if (found !== null && !(await isRecycled(',
    replace: 'if (found !== null || !(await isRecycled(',
    test: END_OF_WAL_TEST,
    title: 'older pages',
  },
  {
    guard: 'a later segment that cannot be read is one',
    file: 'src/operations/wal-fetch/later-segment.ts',
    find: "'CANCELLED')) throw error\n    return false",
    replace: "'CANCELLED')) throw error\n    return true",
    test: END_OF_WAL_TEST,
    title: 'a later one cannot be read',
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
    find: 'if (report.fault !== undefined) return false',
    replace: 'if (report.fault !== undefined) return true',
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
  {
    guard: 'zeros at the end of a segment are the end of WAL unless a switch explains them',
    file: 'src/postgres/wal/zero-tail.ts',
    find: 'return { isFinished: isAtEnd ||',
    replace: 'return { isFinished: endLsn !== undefined ||',
    test: 'src/postgres/wal/zero-tail.test.ts',
  },
  {
    guard: 'a switch that began in the segment before explains them, too',
    file: 'src/postgres/wal/record-reader.ts',
    find: 'if (this.#skipBytes === 0 && isEndOfSwitch(',
    replace: 'if (this.#skipBytes < 0 && isEndOfSwitch(',
    test: 'src/postgres/wal/zero-tail.test.ts',
    title: 'began in the segment before',
  },
  {
    guard: 'the end of another record is not taken for a switch',
    file: 'src/postgres/wal/carried-switch.ts',
    find: 'return isSwitch && page[at + 2]',
    replace: 'return page[at + 2]',
    test: 'src/postgres/wal/zero-tail.test.ts',
    title: 'another record that began in the segment before',
  },
  {
    guard: 'nor a switch that records follow',
    file: 'src/postgres/wal/carried-switch.ts',
    find: ' && isZero(page, to)',
    replace: '',
    test: 'src/postgres/wal/zero-tail.test.ts',
    title: 'another record that began in the segment before',
  },
  {
    guard: 'a half-written segment in pg_wal, with zeros at its end, fills no hole',
    file: END_OF_WAL,
    find: 'if (!endsInZeros(report, read)) return true',
    replace: 'if (report !== undefined) return true',
    test: END_OF_WAL_TEST,
  },
  {
    guard: 'wal-fetch tells a segment that ends in zeros from a switched one',
    file: 'src/operations/wal-fetch/download.ts',
    find: 'if (tail !== undefined || !endsInZeros(report, read)) return tail',
    replace: 'if (report !== undefined) return tail',
    test: END_OF_WAL_TEST,
  },
]
