import type { Mutation } from './mutation.ts'

const SELECTION = 'src/delta/page-selection.ts'
const SELECTION_TEST = 'src/delta/page-selection.test.ts'
const FILES = 'src/operations/backup-push/delta/plan-files.ts'
const FILES_TEST = 'src/operations/backup-push/delta/plan-files.test.ts'
const NEW = 'src/operations/backup-push/delta/new-databases.ts'
const RESTORED_TEST = 'test/e2e/delta/restored-cluster.test.ts'
const GUARDS = 'src/operations/backup-push/delta/parent-guards.ts'
const GUARDS_TEST = 'src/operations/backup-push/delta/parent-guards.test.ts'
const VISIBLE = 'src/operations/backup-push/delta/visible-pages.ts'
const VISIBLE_TEST = 'src/operations/backup-push/delta/visible-pages.test.ts'
const END = 'src/operations/backup-push/delta/parent-end.ts'
const END_TEST = 'src/operations/backup-push/delta/parent-end.test.ts'
const ROLLED_BACK_TEST = 'test/e2e/delta/rolled-back-cluster.test.ts'
const CHANGES = 'src/operations/backup-push/changes/find-changed-pages.ts'
const CHANGES_TEST = 'src/operations/backup-push/changes/find-changed-pages.test.ts'
const CHAIN = 'src/operations/backup-push/delta/chain-check.ts'
const CHAIN_TEST = 'src/operations/backup-push/delta/chain-check.test.ts'
const DELTA_TEST = 'test/e2e/delta/delta-push.test.ts'

/** The guards of delta backups. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'a page that was not zero in the parent and is now makes the file whole',
    file: 'src/delta/page-selection.ts',
    find: "if (block !== undefined) this.#whole ??= { kind: 'zero page', block }",
    replace: '',
    test: 'src/delta/page-selection.test.ts',
    title: 'where the parent says that it was zero',
  },
  {
    guard: 'blocks that a map names are not taken for zero any longer',
    file: 'src/delta/zero-runs.ts',
    find: 'if (at >= written.length || written[at] !== block) yield block',
    replace: 'yield block',
    test: 'src/delta/zero-runs.test.ts',
    title: 'is zero no longer',
  },
  {
    guard: 'what older backups of a chain have behind the end of a file that was cut is not forgotten',
    file: SELECTION,
    find: 'const usedBlocks = Math.max(this.#usedBlocks, zeroFrom)',
    replace: 'const usedBlocks = this.#usedBlocks',
    test: SELECTION_TEST,
    title: 'comes back from below',
  },
  {
    guard: 'a page changed exactly at the start of the parent belongs to the delta',
    file: SELECTION,
    find: 'view.getUint32(at + 4, true) >= this.#sinceLow)',
    replace: 'view.getUint32(at + 4, true) > this.#sinceLow)',
    test: SELECTION_TEST,
  },
  {
    guard: 'a zero page that the parent may have otherwise makes a file whole',
    file: SELECTION,
    find: 'const isDoubtful = (block: number): boolean => block < zeroFrom',
    replace: 'const isDoubtful = (): boolean => false',
    test: SELECTION_TEST,
  },
  {
    guard: 'a page that is none makes a file whole',
    file: SELECTION,
    find: "    if (state === 'invalid') {",
    replace: "    if (state === 'invalid' && block < 0) {",
    test: SELECTION_TEST,
  },
  {
    guard: 'a file written while the parent was taken is read again',
    file: FILES,
    find: '  return changedNs + tickNs < settledNs',
    replace: '  return changedNs + tickNs > 0n',
    test: FILES_TEST,
  },
  {
    guard: 'a database made anew under its number is stored whole',
    file: NEW,
    find: 'if (!isSame && (row >= 0 || movedIn === undefined)) madeAnew.add(database)',
    replace: '',
    test: FILES_TEST,
  },
  {
    guard: 'a database that the parent may have seen half of is stored whole',
    file: NEW,
    find: 'movedIn?.has(placeOf(relation)) === true',
    replace: 'false',
    test: FILES_TEST,
    title: 'moved or made since',
  },
  {
    guard: 'a database of a restored cluster that is not the one the parent saw is stored whole',
    file: NEW,
    find: '!root.isSame && same?.has(relation.databaseOid) !== true',
    replace: 'false',
    test: FILES_TEST,
    title: 'another row than the parent saw',
  },
  {
    guard: 'a restored cluster is told from one that times tell about by its rows alone',
    file: NEW,
    find: 'before.get(oid)?.xmin === xmin',
    replace: 'before.has(oid)',
    test: RESTORED_TEST,
    title: 'PostgreSQL 15: a database that was made again under its old oid after a restore',
  },
  {
    guard: 'a row whose xmin the parent did not keep proves nothing',
    file: NEW,
    find: 'xmin !== undefined && before.get(oid)',
    replace: 'before.has(oid) && before.get(oid)',
    test: FILES_TEST,
    title: 'another row than the parent saw',
  },
  {
    guard: 'where times tell, a row that was altered makes no database whole',
    file: NEW,
    find: '!root.isSame && same',
    replace: 'same',
    test: FILES_TEST,
    title: 'another row than the parent saw',
  },
  {
    guard: 'a block map knows what became of a database that nobody else knows',
    file: FILES,
    find: "if (changes === 'unknown' && isDoubtful) {",
    replace: 'if (isDoubtful) {',
    test: FILES_TEST,
    title: 'what it knows is believed',
  },
  {
    guard: 'a delta asks for the databases when its backup has begun',
    file: 'src/operations/backup-push/plan-backup.ts',
    find: 'databases: await source.readDatabaseRows(),',
    replace: 'databases: source.databases,',
    test: RESTORED_TEST,
    title: 'has looked at the server and not begun yet',
  },
  {
    guard: 'what reached the disk between the start of a delta by a block map and its walk is not settled',
    file: 'src/operations/backup-push/delta/settled-moment.ts',
    find: 'if (startsNow) return begunNs',
    replace: 'if (startsNow) return walkedNs',
    test: 'test/e2e/delta/delta-start-gap.test.ts',
    title: 'by wal then scan',
  },
  {
    guard: 'pages that the parent does not have are taken however old they are',
    file: SELECTION,
    find: 'const isBehind = this.#parent !== undefined && block >= this.#parent.blocks',
    replace: 'const isBehind = false',
    test: SELECTION_TEST,
    title: 'however old',
  },
  {
    guard: 'unlogged relations are stored whole',
    file: FILES,
    find: 'if (databases.isNew(relation) || isUnlogged(index)) continue',
    replace: 'if (databases.isNew(relation)) continue',
    test: FILES_TEST,
  },
  {
    guard: 'a parent beyond the switch of its timeline is none',
    file: GUARDS,
    find: '  if (finishOf(parent) <= left.switchLsn) return undefined',
    replace: '  if (left.switchLsn > 0n) return undefined',
    test: GUARDS_TEST,
  },
  {
    guard: 'checksums switched on since: no delta',
    file: GUARDS,
    find: '  if ((parent.checksumVersion === 0) !== (now.checksumVersion === 0)) {',
    replace: '  if (parent.checksumVersion !== 0 && now.checksumVersion === 0) {',
    test: GUARDS_TEST,
  },
  {
    guard: 'a parent deleted meanwhile fails the delta',
    file: 'src/operations/backup-push/delta/open-delta.ts',
    find: '    if (found[index] !== null) continue',
    replace: '    if (found[index] !== undefined) continue',
    test: DELTA_TEST,
    title: 'deleted while the delta is taken',
  },
  {
    guard: 'the parts of the parent must be there',
    file: 'src/operations/backup-push/delta/parent-files.ts',
    find: '    if (stored.get(part) !== sizeBytes) throw missingPart(parent, part)',
    replace: '    if (stored.size === 0 && sizeBytes > 0) throw missingPart(parent, part)',
    test: DELTA_TEST,
    title: 'a (missing|cut) part',
  },
  {
    guard: 'a visibility map with new bits makes visible pages be taken',
    file: VISIBLE,
    find: 'BigInt(view.getUint32(4, true))) >= sinceLsn)',
    replace: 'BigInt(view.getUint32(4, true))) > sinceLsn)',
    test: VISIBLE_TEST,
  },
  {
    guard: 'the page of the map that tells of the last block is looked at',
    file: VISIBLE,
    find: 'page <= lastPage; page++',
    replace: 'page < lastPage || page === 0; page++',
    test: VISIBLE_TEST,
  },
  {
    guard: 'pages that VACUUM has marked all-visible are chosen',
    file: SELECTION,
    find: '(this.#takesVisible && isAllVisibleAt(view, at))',
    replace: '(this.#takesVisible && block < 0)',
    test: SELECTION_TEST,
  },
  {
    guard: 'without checksums and wal_log_hints the marks of VACUUM are asked for',
    file: 'src/operations/backup-push/delta/open-delta.ts',
    find: 'const marks = hasMarksInLsnSince(source, parent)',
    replace: 'const marks = parent.startLsn > 0n',
    test: 'test/e2e/delta/delta-visibility.test.ts',
    title: 'PostgreSQL 15 without data checksums',
  },
  {
    guard: 'settings count only as long as the server has run with them',
    file: 'src/operations/backup-push/delta/open-delta.ts',
    find: 'hasMarksInLsnSinceNs !== undefined && hasMarksInLsnSinceNs < epochNs(startTime)',
    replace: 'hasMarksInLsnSinceNs !== undefined',
    test: 'test/e2e/delta/delta-visibility.test.ts',
    title: 'PostgreSQL 16 with wal_log_hints that were off for a while',
  },
  {
    guard: 'a parent whose end lies in other WAL now is none: the cluster was rolled back on its timeline',
    file: END,
    find: "    case 'between':\n      return 'rolled back'",
    replace: "    case 'between':\n      return 'reached'",
    test: END_TEST,
  },
  {
    guard:
      'the checkpoint of a parent is the one of that moment: another history may end a backup at the same place',
    file: 'src/postgres/wal/checkpoint-record.ts',
    find: 'redoLsn !== expected.redoLsn || timeSeconds !== expected.timeSeconds',
    replace: 'redoLsn !== expected.redoLsn',
    test: END_TEST,
  },
  {
    guard: 'WAL in the archive proves nothing of a server that archives nothing now',
    file: END,
    find: 'if (isArchived && isArchiving === false)',
    replace: 'if (isArchived && isArchiving === undefined)',
    test: END_TEST,
  },
  {
    guard: 'a segment that has only begun and is archived was written by another history',
    file: END,
    find: '  if (found === null) return undefined\n  return `the archive has',
    replace: '  if (found !== undefined) return undefined\n  return `the archive has',
    test: END_TEST,
  },
  {
    guard: 'a file that was written later in the parent than it is now was brought back',
    file: 'src/operations/backup-push/delta/older-files.ts',
    find: 'entries.mtimeNs(index) + SLACK_NS < parent.files.mtimeNs(row)',
    replace: 'parent.files.mtimeNs(row) + SLACK_NS < entries.mtimeNs(index)',
    test: 'src/operations/backup-push/delta/older-files.test.ts',
  },
  {
    guard: 'the end of a parent is the record of that very backup',
    file: END,
    find: "(state === 'shut down' ? end.startLsn : end.backupStartLsn) === startLsn",
    replace: "(state === 'shut down' ? end.startLsn : startLsn) === startLsn",
    test: END_TEST,
  },
  {
    guard: 'WAL that the archive has got after the parent was complete is read',
    file: 'src/operations/backup-push/delta/parent-wal.ts',
    find: 'found.info.modifiedNs <= sentinel.modifiedNs',
    replace: 'found.info.modifiedNs > 0n',
    test: ROLLED_BACK_TEST,
    title: 'overwritten in the archive',
  },
  {
    guard: 'the WAL of pg_wal tells before the archive',
    file: 'src/operations/backup-push/delta/parent-wal.ts',
    find: "if (local !== undefined && local.kind !== 'unreadable') return {",
    replace: "if (local?.kind === 'record') return {",
    test: ROLLED_BACK_TEST,
    title: 'pg_wal alone',
  },
  {
    guard: 'what a parent builds upon is looked at, too',
    file: 'src/operations/backup-push/delta/open-delta.ts',
    find: 'checkChain(context, parent.chain.slice(1))',
    replace: 'checkChain(context, parent.chain.slice(1, 1))',
    test: DELTA_TEST,
    title: 'in the full below it',
  },
  {
    guard: 'parts further down a chain have no fewer bytes than were put',
    file: CHAIN,
    find: 'storedBytes < compressedSizeBytes',
    replace: 'storedBytes > compressedSizeBytes * 1e6',
    test: CHAIN_TEST,
  },
  {
    guard: 'parts further down a chain are those of its content manifest',
    file: CHAIN,
    find: 'if (sizes.get(key) !== sizeBytes) throw',
    replace: 'if (sizes.get(key) === -1) throw',
    test: CHAIN_TEST,
  },
  {
    guard: 'a list of files further down a chain can be read',
    file: CHAIN,
    find: 'if (!isJson(bytes))',
    replace: 'if (bytes.length === 0)',
    test: CHAIN_TEST,
  },
  {
    guard: 'WALG_FORCE_WAL_DELTA holds for every way of finding changed blocks',
    file: CHANGES,
    find: '  if (isForced) {',
    replace: "  if (isForced && (usesWal || method !== 'auto')) {",
    test: CHANGES_TEST,
    title: 'fails with WALG_FORCE_WAL_DELTA',
  },
  {
    guard: 'a damaged WAL summary is a WARNING',
    file: CHANGES,
    find: 'isAsked || reasons.some(each => each.isDamage)',
    replace: 'isAsked',
    test: CHANGES_TEST,
  },
  {
    guard: 'a damaged WAL summary is said when the WAL tells instead',
    file: CHANGES,
    find: 'if (isDamage) log.warning(reason)',
    replace: 'if (isDamage) log.debug(reason)',
    test: CHANGES_TEST,
  },
]
