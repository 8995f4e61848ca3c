import type { Mutation } from './mutation.ts'

const REFUSED_TEST = 'test/e2e/restore-refused.test.ts'
const EXISTING_TEST = 'test/e2e/restore-existing.test.ts'

/** Guards of restore and drill. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'nothing is restored below a running server',
    file: 'src/operations/restore/restore.ts',
    find: '  if (pid === undefined) return\n',
    replace: '  if (pid !== 0) return\n',
    test: REFUSED_TEST,
    title: 'running server',
  },
  {
    guard: 'a hole in the WAL is found before anything is written',
    file: 'src/operations/restore/plan/backup-wal.ts',
    find: 'if (chain.behindHole === undefined) return',
    replace: 'if (chain.missing !== "") return',
    test: REFUSED_TEST,
    title: 'a hole in the WAL',
  },
  {
    guard: 'a time without a zone is not read in some zone',
    file: 'src/postgres/recovery-target.ts',
    find: '  if (zone === undefined) {',
    replace: "  if (zone === 'none') {",
    test: 'src/postgres/recovery-target.test.ts',
  },
  {
    guard: 'other targets are emptied before the one is set',
    file: 'src/postgres/recovery-settings.ts',
    find: "    ...TARGETS.filter(each => each !== name).map(each => [each, ''] as const),\n",
    replace: '',
    test: 'src/postgres/recovery-settings.test.ts',
  },
  {
    guard: 'commands of a standby do not run in a restored server',
    file: 'src/postgres/recovery-settings.ts',
    find: "    ['archive_cleanup_command', ''],\n",
    replace: '',
    test: 'src/postgres/recovery-settings.test.ts',
  },
  {
    guard: 'the directory of another cluster is not restored over',
    file: 'src/operations/backup-fetch/target/existing.ts',
    find: '  if (found === sentinel.systemIdentifier) return',
    replace: '  if (found !== undefined) return',
    test: EXISTING_TEST,
    title: 'refuses the directory of another cluster',
  },
  {
    guard: 'WAL that was never archived stays when a directory is restored over',
    file: 'src/operations/backup-fetch/target/existing.ts',
    find: 'inner === WAL || inner === STATE_FOLDER',
    replace: 'inner === STATE_FOLDER',
    test: EXISTING_TEST,
    title: 'loses no WAL',
  },
  {
    guard: 'a drill notices a damaged index',
    file: 'src/operations/drill/check-database.ts',
    find: '      note(object, reasonOf(error))\n',
    replace: '',
    test: 'test/e2e/drill.test.ts',
    title: 'an index is damaged',
  },
  {
    guard: 'wal-restore fails when a download failed',
    file: 'src/operations/wal-restore/wal-restore.ts',
    find: 'if (failures.length === 0) return',
    replace: 'if (failures.length >= 0) return',
    test: 'test/e2e/wal-restore.test.ts',
    title: 'fails when a segment is not in the archive',
  },
]
