import type { Mutation } from './mutation.ts'

const HAZARDS = 'test/e2e/push/backup-push-hazards.test.ts'
const NEWER = 'test/e2e/push/newer-pages.test.ts'
const SERVER = 'test/e2e/push/backup-push-server.test.ts'
const AT_REST = 'test/e2e/push/backup-push-at-rest.test.ts'
const WORKERS = 'src/operations/backup-push/part/part-workers.test.ts'
const BATCHES = 'src/operations/backup-push/part/file-batch.test.ts'
const POWER_LOSS = 'test/crash/backup-push-power-loss.test.ts'
const COMMIT = 'src/operations/backup-push/commit-backup.ts'
const STORED = 'src/operations/backup-push/stored-check.ts'
const NEW_OBJECT = 'src/operations/backup-push/part/new-object.ts'
const ANOTHER_PUSH = 'src/operations/backup-push/another-push.test.ts'
const CLAIM = 'src/operations/backup-push/claim-name.ts'
const WAIT = 'src/operations/backup-push/source/wait-for-archive.ts'
const RUNNING = 'src/operations/backup-push/source/running-source.ts'
const RESTING = 'src/operations/backup-push/source/resting-source.ts'
const PACK = 'src/tar/pack.ts'
const STATES = 'src/operations/backup-push/replayed-states.ts'
const COPIES = 'src/operations/backup-push/copy/plan-copies.ts'
const COPIES_TEST = 'src/operations/backup-push/copy/plan-copies.test.ts'

/** The guards of backup-push. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'another push: its object is not replaced, where a put can be conditional',
    file: NEW_OBJECT,
    find: '{ ...options, ...NEW }',
    replace: 'options',
    test: ANOTHER_PUSH,
    title: 'in one step with the put',
  },
  {
    guard: 'even parts: one that holds more than all that is left ends',
    file: 'src/operations/backup-push/part/worker-parts.ts',
    find: ' && !isUneven(tarBytes, leftBytes)',
    replace: '',
    test: WORKERS,
    title: 'ends early when it holds more',
  },
  {
    guard: 'another push: its object is not replaced, where a look must do',
    file: NEW_OBJECT,
    find: '      else await assertFree(storage, key, options)',
    replace: '',
    test: ANOTHER_PUSH,
    title: 'by a look right before it',
  },
  {
    guard: 'another push: nothing is put into its complete backup',
    file: NEW_OBJECT,
    find: '      if (storage.features.conditionalPut) await assertIncomplete(storage, key, options)',
    replace: '      if (storage.features.conditionalPut) await undefined',
    test: ANOTHER_PUSH,
    title: 'completed meanwhile',
  },
  {
    guard: 'another push: its sentinel is not replaced',
    file: COMMIT,
    find: '{ signal, ...NEW }',
    replace: '{ signal }',
    test: ANOTHER_PUSH,
    title: 'before the commit',
  },
  {
    guard: 'another push: what it has put in the place of an own object is left to it',
    file: 'src/operations/backup-push/own-objects.ts',
    find: 'if (untouched.has(key)) own.push(key)',
    replace: 'if (this.has(key)) own.push(key)',
    test: ANOTHER_PUSH,
    title: 'is left to it',
  },
  {
    guard: 'another push: no sentinel over its parts',
    file: STORED,
    find: '(await statIfThere(storage, key, { signal })) !== undefined',
    replace: "key === ''",
    test: ANOTHER_PUSH,
    title: 'beside its own',
  },
  {
    guard: 'another push: documents of the same size are compared',
    file: STORED,
    find: '(await hashOf(storage, key, signal)) !== hash',
    replace: '(await hashOf(storage, key, signal)) === undefined && hash',
    test: ANOTHER_PUSH,
    title: 'a document that another push has replaced',
  },
  {
    guard: 'another push: a standby holds the lock of its primary',
    file: RUNNING,
    find: 'facts.isInRecovery ? options.primary : undefined',
    replace: 'facts.isInRecovery ? undefined : undefined',
    test: 'test/e2e/push/primary-and-standby.test.ts',
    title: 'WALG_PRIMARY_CONNINFO',
  },
  {
    guard: 'another push: a file system without hard links is looked at',
    file: 'src/storage/drivers/fs/temporary.ts',
    find: '        yield* checkTarget(place, temporary.key, temporary.target, options)\n',
    replace: '',
    test: 'test/fault/fs-driver.test.ts',
    title: 'may look first',
  },
  {
    guard: 'another push: a store without conditions is looked at',
    file: 'src/storage/drivers/s3/upload.ts',
    find: '    await this.#assertAbsent()\n',
    replace: '',
    test: 'test/contract/s3-requests.test.ts',
    title: 'may look first',
  },
  {
    guard: 'a state file of a prepared transaction that the walk saw half written is left out',
    file: STATES,
    find: 'stateFileBytes(readRegularFile(path)) !== sizeBytes',
    replace: 'stateFileBytes(readRegularFile(path)) < 0',
    test: 'src/operations/backup-push/replayed-states.test.ts',
  },
  {
    guard: 'a state file of a prepared transaction later than the start of the backup is left out',
    file: STATES,
    find: 'isBegunAfter(name, nextXid) || ',
    replace: '',
    test: 'test/e2e/push/prepared-transactions.test.ts',
  },
  {
    guard: 'one that a server has sent, too',
    file: 'src/operations/backup-push/remote/sent-states.ts',
    find: 'if (isBegunAfter(state, nextXid)) return undefined',
    replace: '',
    test: 'test/e2e/push/prepared-transactions.test.ts',
  },
  {
    guard: 'the sentinel is written last',
    file: COMMIT,
    find: '  const manifestKey = contentManifestKey(',
    replace: "  await putSentinel(context, name, '{}', tentative)\n  const manifestKey = contentManifestKey(",
    test: POWER_LOSS,
  },
  {
    guard: 'a sentinel whose put failed is taken back before the parts are',
    file: CLAIM,
    find: '  await storage.delete([sentinelKey(name)], { signal })',
    replace: '',
    test: HAZARDS,
    title: 'a lost answer',
  },
  {
    guard: 'a directory of another server is refused',
    file: RUNNING,
    find: '  if (own !== directory.root) {',
    replace: "  if (own === '') {",
    test: SERVER,
    title: 'a directory of another server',
  },
  {
    guard: 'no sentinel before the stop segment is archived',
    file: WAIT,
    find: '  for (const file of wait.files) {',
    replace: '  for (const file of wait.files.slice(0, 0)) {',
    test: SERVER,
    title: 'a failing archive_command',
  },
  {
    guard: 'what PostgreSQL calls archived is looked for in the repository',
    file: WAIT,
    find: '        if (await isStored(wait, file)) break',
    replace: '        if (isDone || (await isStored(wait, file))) break',
    test: SERVER,
    title: 'an archive_command that loses WAL',
  },
  {
    guard: 'a server that was started meanwhile makes the copy of its directory void',
    file: RESTING,
    find: '      await assertStillAtRest(directory)',
    replace: '',
    test: AT_REST,
    title: 'a server that is started meanwhile',
  },
  {
    guard: 'the shutdown checkpoint must be in the WAL',
    file: RESTING,
    find: '  if (endLsn !== undefined && endLsn > control.checkpointLsn) return endLsn',
    replace: '  if (endLsn !== undefined) return endLsn',
    test: AT_REST,
    title: 'a checkpoint that is not in the WAL',
  },
  {
    guard: 'damage found by --verify is recorded',
    file: 'src/operations/backup-push/part/file-packer.ts',
    find: "    if (blocks.length > 0) this.#report({ kind: 'damage', turn, blocks })",
    replace: '',
    test: SERVER,
    title: 'damaged pages are recorded',
  },
  {
    guard: 'a damaged page that claims to be newer than the end of the backup is damage',
    file: 'src/operations/backup-push/late-pages.ts',
    find: 'pages.filter(({ lsn }) => lsn > endLsn)',
    replace: 'pages.filter(({ lsn }) => lsn < 0n)',
    test: NEWER,
    title: 'claim to be newer than the end',
  },
  {
    guard: 'such damage fails the backup when its end is known',
    file: 'src/operations/backup-push/backup-push.ts',
    find: '    if (options.failsOnCorrupt) await reportAll(push, source, contents, pushed, true)\n',
    replace: '',
    test: NEWER,
    title: 'fail the backup',
  },
  {
    guard: 'what was written before the end of the backup is left to replay',
    file: 'src/operations/backup-push/late-pages.ts',
    find: 'lsn > endLsn',
    replace: 'lsn > 0n',
    test: 'src/operations/backup-push/late-pages.test.ts',
  },
  {
    guard: 'verify of a stored backup knows where it ends',
    file: 'src/operations/verify/part-reader.ts',
    find: '{ endLsn: finishLsn }',
    replace: '{}',
    test: NEWER,
    title: 'in a backup without hashes',
  },
  {
    guard: 'a silent worker ends the push',
    file: 'src/operations/backup-push/part/part-workers.ts',
    find: '      else if (!run.isFinished && nowMs - last.sinceMs > options.stallTimeoutMs) {',
    replace: '      else if (run.isFinished && nowMs < 0) {',
    test: WORKERS,
    title: 'without a sign of life',
  },
  {
    guard: 'an open part is put away when packing fails',
    file: 'src/operations/backup-push/part/part.ts',
    find: '        writer.close()\n        release()\n        await sink.abort()',
    replace: '        writer.close()\n        release()',
    test: WORKERS,
    title: 'cannot be read',
  },
  {
    guard: 'a large file goes to the worker that is free',
    file: 'src/operations/backup-push/part/packed-files.ts',
    find: ">= LARGE_BATCH_BYTES) return 'not yet'",
    replace: ">= Infinity) return 'not yet'",
    test: BATCHES,
  },
  {
    guard: 'a long name gets a PAX record',
    file: PACK,
    find: "  if (splitName(member.name) === undefined) needs.push(paxRecord('path', member.name))",
    replace: '',
    test: 'src/tar/pack.test.ts',
  },
  {
    guard: 'two backups of a directory at rest exclude each other',
    file: 'src/operations/backup-push/source/directory-lock.ts',
    find: '  if (lock !== undefined) return lock\n',
    replace: '  return lock!\n',
    test: HAZARDS,
    title: 'the second is refused',
  },
  {
    guard: 'parts are looked at once more before the sentinel speaks of them',
    file: STORED,
    find: 'sizes.get(key) !== sizeBytes',
    replace: 'sizeBytes < 0',
    test: HAZARDS,
    title: 'are missed before it ends',
  },
  {
    guard: "another push: somebody else's sentinel is not taken back",
    file: CLAIM,
    find: '  return Buffer.compare(own, stored) !== 0',
    replace: '  return Buffer.compare(own, stored) > 1',
    test: ANOTHER_PUSH,
    title: 'before the commit',
  },
  {
    guard: 'a part with one changed file is not copied',
    file: COPIES,
    find: 'counts[part] !== parts.filesCount(part) || ',
    replace: '',
    test: COPIES_TEST,
  },
  {
    guard: 'a part is copied only if parts are written in that way now',
    file: COPIES,
    find: ' || partExtension(name) !== extension',
    replace: '',
    test: COPIES_TEST,
  },
  {
    guard: 'a part with damaged pages is not copied',
    file: COPIES,
    find: '    if (parent.files.hasCorruptBlocks(row)) continue\n',
    replace: '',
    test: COPIES_TEST,
  },
  {
    guard: 'a part is not copied with members that are no files of the backup',
    file: COPIES,
    find: '  return membersCount === parts.filesCount(part)',
    replace: '  return true',
    test: COPIES_TEST,
  },
]
