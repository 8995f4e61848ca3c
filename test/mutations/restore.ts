import type { Mutation } from './mutation.ts'

/** Guards of restore. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'a tablespace that was dropped since an older backup of the chain leaves no directory',
    file: 'src/operations/backup-fetch/part/part-unpacker.ts',
    find: "row < 0 && name.startsWith('pg_tblspc/')",
    replace: 'false',
    test: 'test/e2e/delta/dropped-tablespace.test.ts',
    title: 'PostgreSQL 15',
  },
  {
    guard: 'a part with a file that a newer backup has waits for that',
    file: 'src/operations/backup-fetch/plan/early-parts.ts',
    find: 'touched[row] !== 1',
    replace: 'touched[row] !== 2',
    test: 'test/property/chain-restore.test.ts',
    title: 'chains restore to what',
  },
  {
    guard: 'only an object with a hash of its own is passed over unread',
    file: 'src/operations/backup-fetch/part/part-unpacker.ts',
    find: 'if (this.#job.expectedHash === null) return 0',
    replace: '',
    test: 'src/operations/backup-fetch/superseded.test.ts',
    title: 'where the object has no hash',
  },
  {
    guard: 'a block with a page that is still wanted is read',
    file: 'src/delta/beneath.ts',
    find: 'const until = this.#runEnd(position, Math.min(end, limitBytes), true)',
    replace: 'const until = Math.min(end, limitBytes)',
    test: 'src/operations/backup-fetch/superseded.test.ts',
    title: 'where a single page is still wanted',
  },
  {
    guard: 'pages of an older increment that are still wanted are read',
    file: 'src/delta/beneath.ts',
    find: 'return block * this.#pageBytes >= this.#newer.limitBytes || this.#newer.has(block)',
    replace: 'return true',
    test: 'test/property/chain-restore.test.ts',
    title: 'chains restore to what',
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
    guard: 'no tablespace is restored into another',
    file: 'src/operations/backup-fetch/target/tablespaces.ts',
    find: 'if (!isWithin(inner.location, outer.location) || wasWithin(inner, outer)) continue',
    replace: 'if (wasWithin(inner, outer) || inner !== outer) continue',
    test: 'src/operations/backup-fetch/target/target.test.ts',
    title: 'are not moved into each other',
  },
]
