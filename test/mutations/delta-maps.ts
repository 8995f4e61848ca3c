import type { Mutation } from './mutation.ts'

const CONTENT = 'src/postgres/wal/record-content.ts'
const CONTENT_TEST = 'src/postgres/wal/record-content.test.ts'
const RECORDS = 'src/operations/wal-push/change-records.test.ts'
const MAP_TEST = 'src/delta/map/change-map.test.ts'

const GROUP = 'src/delta/map/delta-group.ts'

/** The guards of block maps: an unchanged block may be left unread only when nothing is in doubt. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'a relation that was cut counts as changed from there on',
    file: 'src/delta/map/mapped-pages.ts',
    find: 'const limit = Math.min(limitBlock - first, fileBlocks)',
    replace: 'const limit = Math.min(limitBlock * 0 + fileBlocks, fileBlocks)',
    test: MAP_TEST,
  },
  {
    guard: 'relations dropped with a transaction are told',
    file: CONTENT,
    find: 'for (let index = 0; index < count; index++, position += 12) {',
    replace: 'for (let index = 1; index < count; index++, position += 12) {',
    test: CONTENT_TEST,
  },
  {
    guard: 'a compressed image of 15 and later tells its hole',
    file: CONTENT,
    find: 'const IMAGE_COMPRESSED_15 = 0x1c',
    replace: 'const IMAGE_COMPRESSED_15 = 0x02',
    test: CONTENT_TEST,
  },
  {
    guard: 'wal_level=minimal spoils a map',
    file: CONTENT,
    find: 'if (view.getInt32(at + 20, true) < 1) changes.doubt',
    replace: 'if (view.getInt32(at + 20, true) < 0) changes.doubt',
    test: CONTENT_TEST,
  },
  {
    guard: 'a record that ends in the next segment belongs to the group',
    file: GROUP,
    find: 'const reason = readRecordChanges(view, 0, bytes.length, major, this.map)',
    replace: 'const reason = readRecordChanges(view, 0, bytes.length, major, new ChangeMap())',
    test: RECORDS,
  },
  {
    guard: 'segments are joined only when their records follow each other',
    file: GROUP,
    find: 'if (segment.firstBackLink !== this.#lastStartLsn) {',
    replace: 'if (segment.firstBackLink === 0n) {',
    test: 'src/delta/map/delta-group.test.ts',
  },
  {
    guard: 'the page that the server changes without WAL is in every delta',
    file: 'src/postgres/unlogged-page.ts',
    find: 'const SPGIST_MAGIC = 0xba0babee',
    replace: 'const SPGIST_MAGIC = 0xba0babef',
    test: 'test/e2e/delta/delta-ways.test.ts',
  },
  {
    guard: 'the record before a run of segments is known, or there is no map',
    file: 'src/operations/backup-push/changes/wal-map.ts',
    find: '...(this.#seed === undefined ? {} : { pendingBytes: this.#seed }),',
    replace: '',
    test: 'src/operations/backup-push/changes/wal-map.test.ts',
  },
]
