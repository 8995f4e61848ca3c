import type { Mutation } from './mutation.ts'

const RESCUE = 'test/hazard/wal-rescue.test.ts'
const PLAN = 'src/operations/wal-push/directory-plan.ts'
const FORMS = 'src/operations/wal-push/other-forms.test.ts'

const RIVALS = 'src/operations/wal-push/rival-form.test.ts'
const RIVAL_FORM = 'src/operations/wal-push/rival-form.ts'
const ELSEWHERE = 'src/operations/wal-push/refuse-elsewhere.test.ts'
const PUSH = 'src/operations/wal-push/wal-push.test.ts'
const SIGNALLED = 'test/hazard/signalled-wal-push.test.ts'

/** The guards of what is archived, beside those of single objects in `rooms.ts`. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'an older form of a replaced segment is not left to be delivered',
    file: 'src/operations/wal-push/wal-pusher.ts',
    find: '  if (others.length > 0) await removeOtherForms(context, key, others)\n',
    replace: '',
    test: FORMS,
    title: 'replaces the forms',
  },
  {
    guard: 'older forms are looked for before the new one is put',
    file: 'src/operations/wal-push/wal-pusher.ts',
    find: `  const others = await findOtherForms(context, source.name, key)
  const outcome = await putSource(pusher, source, {})
`,
    replace: `  const outcome = await putSource(pusher, source, {})
  const others = await findOtherForms(context, source.name, key)
`,
    test: FORMS,
    title: 'another push puts meanwhile',
  },
  {
    guard: 'the object itself is not one of its older forms',
    file: 'src/operations/wal-push/other-forms.ts',
    find: '.filter(form => form.key !== key)',
    replace: '',
    test: PUSH,
    title: 'switched off, replaces segments',
  },
  {
    guard: 'a mark that cannot be changed does not keep the other files of a directory from being pushed',
    file: 'src/operations/wal-push/directory-push.ts',
    find: '    if (!(error instanceof WalgError)) throw error\n    log.warning',
    replace: '    if (error instanceof WalgError) throw error\n    log.warning',
    test: RESCUE,
    title: 'nothing can be marked',
  },
  {
    guard: 'archived files that keep their .ready are told by the status',
    file: 'src/cli/commands/wal-push.ts',
    find: '(failed[0] ?? unmarked[0])?.error',
    replace: 'failed[0]?.error',
    test: RESCUE,
    title: 'nothing can be marked',
  },
  {
    guard: 'a file that is marked .ready and not there is a failure',
    file: PLAN,
    find: 'else if (await isMarkedReady(directory, name)) lacking.push({ name, error })',
    replace: '',
    test: RESCUE,
    title: 'marked .ready is not there',
  },
  {
    guard: 'an unreadable segment does not keep the others',
    file: PLAN,
    find: "      plan.lacking.push({ name, error: fromSystemError(error, 'read', join(directory, name)) })",
    replace: '      throw error',
    test: RESCUE,
    title: 'cannot be read',
  },
  {
    guard: 'what comes before an unreadable segment is pushed',
    file: 'src/postgres/wal/record.ts',
    find: '    !unreadable.has(followName) &&\n',
    replace: '',
    test: RESCUE,
    title: 'cannot be read',
  },
  {
    guard: 'a damaged segment among sound ones is a failure',
    file: PLAN,
    find: 'if (name < last)',
    replace: "if (name < '')",
    test: RESCUE,
    title: 'is damaged',
  },
  {
    guard: 'a hole in the sequence is named',
    file: PLAN,
    find: '    plan.holes.push(...holesOf(timeline, complete))\n',
    replace: '',
    test: RESCUE,
    title: 'hole is named',
  },
  {
    guard: 'a SIGQUIT, as an immediate shutdown sends it, stops a push in order',
    file: 'src/cli/signals.ts',
    find: ", 'SIGHUP', 'SIGQUIT'] as const",
    replace: ", 'SIGHUP'] as const",
    test: SIGNALLED,
    title: 'SIGQUIT',
  },
  {
    guard: 'a segment that is not written to its end is not archived without a word',
    file: 'src/operations/wal-push/seal-source.ts',
    find: '  if (pages !== undefined) warnOfTail(context, source, pages)\n',
    replace: '',
    test: PUSH,
    title: 'not written to its end',
  },
  {
    guard: 'a partial segment is unfinished by its name, and no warning is due',
    file: 'src/operations/wal-push/seal-source.ts',
    find: 'isSegmentName(source.name) ? openSegmentChecker(source.name)',
    replace: 'isSegmentName(source.name.slice(0, 24)) ? openSegmentChecker(source.name.slice(0, 24))',
    test: PUSH,
    title: 'partial segment',
  },
  {
    guard: 'an empty file that is marked .ready is a failure, not archived',
    file: PLAN,
    find: 'if (stats.size > 0 || !stats.isFile()) return undefined',
    replace: 'if (stats.size >= 0) return undefined',
    test: RESCUE,
    title: 'is empty',
  },
  {
    guard: 'a damaged object in the archive is not taken for one of another cluster',
    file: 'src/operations/wal-push/overwrite-guard.ts',
    find: "if (isDamage(error) || hasCode(error, 'WAL_INVALID')) return { kind: 'damaged', error }",
    replace: "if (isDamage(error) || hasCode(error, 'WAL_INVALID')) return { kind: 'different' }",
    test: PUSH,
    title: 'damaged object',
  },
  {
    guard: 'where a form has no checksum, the records tell that an object is damaged',
    file: 'src/operations/wal-push/overwrite-guard.ts',
    find: '    records?.end()\n',
    replace: '',
    test: PUSH,
    title: 'checksums of records',
  },
  {
    guard: 'a guarded push looks again, after its put, for other content in another form',
    file: RIVAL_FORM,
    find: '  if (rival === undefined) return\n  const failure = await takeBack(archived, putInto)',
    replace: '  if (rival !== null) return\n  const failure = await takeBack(archived, putInto)',
    test: RIVALS,
    title: 'takes its object back',
  },
  {
    guard: 'a push that gives way to another form takes its object back',
    file: RIVAL_FORM,
    find: '    for (const storage of putInto) await storage.delete([key], { signal: context.signal })\n',
    replace: '',
    test: RIVALS,
    title: 'takes its object back',
  },
  {
    guard: 'the same content in another form is no rival',
    file: RIVAL_FORM,
    find: "kind !== 'identical' && kind !== 'gone'",
    replace: "kind !== 'gone'",
    test: RIVALS,
    title: 'content is the same',
  },
  {
    guard: 'an object that cannot be removed again is told',
    file: RIVAL_FORM,
    find: "if (!(error instanceof WalgError) || hasCode(error, 'CANCELLED')) throw error\n    return error",
    replace:
      "if (!(error instanceof WalgError) || hasCode(error, 'CANCELLED')) throw error\n    return undefined",
    test: RIVALS,
    title: 'cannot be removed',
  },
  {
    guard: 'equal content is not acknowledged while another form has other content',
    file: 'src/operations/wal-push/wal-pusher.ts',
    find: '      await refuseOtherContent({ ...pusher, source, key: found.key })\n',
    replace: '',
    test: RIVALS,
    title: 'next try',
  },
  {
    guard: 'what another storage of the archive has under the name is not contradicted',
    file: 'src/operations/wal-push/refuse-elsewhere.ts',
    find: "      if (verdict.kind === 'different') throw different(storage, source, found.key)\n",
    replace: '',
    test: ELSEWHERE,
    title: 'is refused',
  },
  {
    guard: 'a storage that is only compared with, and is down, does not stop archiving',
    file: 'src/operations/wal-push/refuse-elsewhere.ts',
    find: 'if (!isStorageTrouble(error) || signal.aborted) throw error',
    replace: 'if (isStorageTrouble(error) || signal.aborted) throw error',
    test: ELSEWHERE,
    title: 'does not answer',
  },
  {
    guard: 'a push is given the failover storages that it compares with',
    file: 'src/cli/failover.ts',
    find: '  return withElsewhere(context, push, further)',
    replace: '  return withElsewhere(context, push, further.slice(0, 0))',
    test: 'test/e2e/storage/failover.test.ts',
    title: 'not contradicted',
  },
]
