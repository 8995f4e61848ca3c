import type { Mutation } from './mutation.ts'

const FORMS = 'src/operations/wal-push/other-forms.test.ts'

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
    find: '  found.delete(key)\n',
    replace: '',
    test: 'src/operations/wal-push/wal-push.test.ts',
    title: 'switched off, replaces segments',
  },
]
