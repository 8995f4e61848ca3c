import type { Mutation } from './mutation.ts'

const COPIES = 'src/storage/layers/copies.ts'
const COPIES_TEST = 'src/storage/layers/copies.test.ts'
const ALIVE = 'src/storage/failover/find-alive.ts'
const ALIVE_TEST = 'src/storage/failover/find-alive.test.ts'
const TRANSFER_TEST = 'src/operations/transfer/transfer.test.ts'
const COPY_TEST = 'src/operations/copy/copy.test.ts'

/** The guards of several storages: failover, mirrors, copy and transfer. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'an absence is only believed when every storage has said so',
    file: COPIES,
    find: "failures.find(error => !hasCode(error, 'OBJECT_NOT_FOUND')) ??",
    replace: "failures.find(error => hasCode(error, 'OBJECT_NOT_FOUND')) ??",
    test: COPIES_TEST,
  },
  {
    guard: 'what a mirror lacks is noted before the put is acknowledged',
    file: COPIES,
    find: '    if (!watch.isUp(mirror)) watch.noteGap(mirror, key)',
    replace: '',
    test: COPIES_TEST,
  },
  {
    guard: 'a mirror that must take part fails the put',
    file: COPIES,
    find: "    if (branch.number === undefined || watch === undefined || hasCode(error, 'OBJECT_EXISTS', 'CANCELLED')) {\n      throw error\n    }",
    replace:
      '    if (branch.number === undefined) throw error\n    if (watch === undefined) return branch.sink.abort()',
    test: COPIES_TEST,
  },
  {
    guard: 'the result of the write probe counts',
    file: ALIVE,
    find: "if (isProbed && request.mode === 'rw') await probe(request, storage)",
    replace: "if (isProbed && request.mode === 'rw') void probe(request, storage).catch(() => {})",
    test: ALIVE_TEST,
  },
  {
    guard: 'a gap in the WAL stops a copy before the first byte',
    file: 'src/operations/copy/plan-copy.ts',
    find: 'for (const range of ranges) checkRange(numbers, range, segmentBytes)',
    replace: '',
    test: COPY_TEST,
  },
  {
    guard: 'sentinels are copied behind everything else',
    file: 'src/operations/copy/copy.ts',
    find: '    await copyObjects(source, target, plan.payload, { signal, onCopied })\n',
    replace:
      '    for (const sentinel of plan.sentinels) await copyObjects(source, target, [sentinel], { signal, onCopied })\n    await copyObjects(source, target, plan.payload, { signal, onCopied })\n',
    test: COPY_TEST,
  },
  {
    guard: 'chains are transferred as a whole',
    file: 'src/operations/transfer/plan-backups.ts',
    find: 'for (const chain of connected(backups)) {',
    replace: 'for (const chain of backups.map(backup => [backup])) {',
    test: TRANSFER_TEST,
  },
  {
    guard: 'LATEST is the same after a transfer',
    file: 'src/operations/transfer/keep-order.ts',
    find: 'if (modifiedNs !== undefined && modifiedNs > lastNs) {',
    replace: 'if (modifiedNs !== undefined) {',
    test: TRANSFER_TEST,
  },
  {
    guard: 'an interrupted transfer knows its own objects',
    file: 'src/operations/transfer/transfer-note.ts',
    find: 'await writeFileDurably(path, ',
    replace: 'void (path, ',
    test: TRANSFER_TEST,
  },
]
