import type { Mutation } from './mutation.ts'

/** Guards of restore. */
export const mutations: readonly Mutation[] = [
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
]
