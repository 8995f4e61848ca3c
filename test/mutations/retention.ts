import type { Mutation } from './mutation.ts'

const VERIFY_TEST = 'test/hazard/verify.test.ts'
const POLICY_TEST = 'src/operations/delete/plan-policy.test.ts'

/** Guards of retention and of verification. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'the newest backup stays, whatever the policy says',
    file: 'src/operations/delete/plan-policy.ts',
    find: "    [newest, 'the newest backup'],\n",
    replace: "    [good[0]!, 'the newest backup'],\n",
    test: POLICY_TEST,
  },
  {
    guard: 'a backup of the window has ended before it begins',
    file: 'src/operations/delete/plan-policy.ts',
    find: 'finishNs <= nowNs - nsOf(windowMs)',
    replace: 'finishNs <= nowNs',
    test: POLICY_TEST,
  },
  {
    guard: 'all WAL since the place to begin recovery from stays',
    file: 'src/operations/delete/plan-policy.ts',
    find: 'isStandalone: backup => position.get(backup)! < from,',
    replace: 'isStandalone: () => true,',
    test: POLICY_TEST,
  },
  {
    guard: 'a part that is listed must be there',
    file: 'src/operations/verify/inspect-backup.ts',
    find: 'if (!sizes.has(part)) findings.error(',
    replace: 'if (!sizes.has(part)) findings.warning(',
    test: VERIFY_TEST,
    title: 'a missing part',
  },
  {
    guard: 'WAL that a backup needs must be there',
    file: 'src/operations/verify/verify.ts',
    find: 'for (const file of missing) findings.error(',
    replace: 'for (const file of missing) findings.warning(',
    test: VERIFY_TEST,
    title: 'a missing segment',
  },
  {
    guard: 'what has changed since is read again',
    file: 'src/operations/verify/plan-work.ts',
    find: 'const isSame = known?.sizeBytes === item.sizeBytes && known.modifiedNs === item.modifiedNs',
    replace: 'const isSame = known !== undefined',
    test: VERIFY_TEST,
    title: 'incremental reads what has changed',
  },
  {
    guard: 'backup-push: the files of temporary tables are not verified',
    file: 'src/operations/backup-push/part/page-check.ts',
    find: 'if (relation === undefined || relation.isTemporary)',
    replace: 'if (relation === undefined)',
    test: 'test/e2e/push/damaged-pages.test.ts',
    title: 'unlogged relation',
  },
  {
    guard: 'verify: the files of temporary tables are not judged',
    file: 'src/operations/verify/read-part.ts',
    find: ' || relation.isTemporary) return undefined',
    replace: ') return undefined',
    test: 'test/e2e/push/damaged-pages.test.ts',
  },
  {
    guard: 'verify: the pages of backups with hashes are judged, too',
    file: 'src/operations/verify/part-reader.ts',
    find: 'if (part === undefined || lsn === null) return',
    replace: 'if (this.#inspected.manifest !== null || part === undefined || lsn === null) return',
    test: 'test/e2e/push/damaged-pages.test.ts',
  },
  {
    guard: 'verify: a part with damaged pages is not remembered as good',
    file: 'src/operations/verify/part-reader.ts',
    find: 'damaged.every(one => this.#isKnown(one.member, left.get(one)!) || this.#isEmptied(one))',
    replace: 'true',
    test: 'test/e2e/push/damaged-pages.test.ts',
  },
  {
    guard: 'verify: WAL before the start of a backup excuses no page',
    file: 'src/operations/verify/replayed-pages.ts',
    find: 'recordLsn < startLsn || ',
    replace: '',
    test: 'src/operations/verify/replayed-pages.test.ts',
  },
  {
    guard: 'verify: a page that WAL writes anew is no damage',
    file: 'src/operations/verify/part-reader.ts',
    find: '      if (replayed.has(page)) continue\n',
    replace: '',
    test: 'test/e2e/push/damaged-pages.test.ts',
    title: 'half written',
  },
  {
    guard: 'verify: pages of increments are judged by their numbers',
    file: 'src/operations/verify/read-part.ts',
    find: 'if (position !== next) pages?.pieces.seek(position / pageBytes)',
    replace: 'void next',
    test: 'test/e2e/push/damaged-pages.test.ts',
    title: 'increments',
  },
  {
    guard: 'verify: an unlogged relation that recovery empties does not spoil a backup',
    file: 'src/operations/verify/part-reader.ts',
    find: 'return isUnlogged && parts.some',
    replace: 'return isUnlogged && !parts.some',
    test: 'test/e2e/push/damaged-pages.test.ts',
    title: 'recovery empties',
  },
]
