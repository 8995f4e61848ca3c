import { expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { tempDirectory } from '../../../../test/support/temp-directory.ts'
import { BLOCKS_MAX } from '../../../delta/page-selection.ts'
import { silentProgress } from '../../../kit/progress.ts'
import { DataEntryColumns } from '../../../postgres/walk/data-entries.ts'
import { toBackupName } from '../../../repository/backup-name.ts'
import { FilePlan } from '../delta/file-plan.ts'
import type { FileOrder } from './file-batch.ts'
import type { PartsTask } from './pack-task.ts'
import { PackedFiles } from './packed-files.ts'
import { createPartControl } from './part-control.ts'
import { PartWorkers } from './part-workers.ts'

const PAGE = 8192
const WALKED_BLOCKS = 10
const LEFT_BLOCKS = 4
const SINCE_LSN = 0x1000n

/** Pages of a table, all changed since the parent. */
function changedPages(count: number): Buffer {
  const bytes = Buffer.alloc(count * PAGE)
  for (let at = 0; at < bytes.length; at += PAGE) {
    bytes.writeUInt32LE(0x2000, at + 4)
    bytes.writeUInt16LE(28, at + 12)
    bytes.writeUInt16LE(PAGE, at + 14)
    bytes.writeUInt16LE(PAGE, at + 16)
    bytes.writeUInt16LE(PAGE + 4, at + 18)
  }
  return bytes
}

/** Packs `content` as a delta does whose walk saw `walkedBlocks`. */
async function packDelta(content: Buffer, walkedBlocks: number, order: FileOrder): Promise<PackedFiles> {
  using place = tempDirectory('cut-file')
  for (const name of ['data', 'repository']) mkdirSync(place.at(name))
  writeFileSync(place.at('data/16384'), content)
  const entries = new DataEntryColumns()
  entries.addPlace(place.at('data'), '/base/5')
  const file = { sizeBytes: walkedBlocks * PAGE, mode: 0o600, uid: 0, gid: 0, mtimeNs: 1n, ctimeNs: 1n }
  entries.add(0, '16384', { kind: 'file', ...file })
  const plan = new FilePlan(1)
  if (order.blocks === undefined) plan.set(0, order.method, order.parent)
  else plan.setBlocks(0, order.blocks, order.parent)
  const task: PartsTask = {
    backup: toBackupName('base_000000010000000000000002'),
    control: createPartControl(1),
    headers: [],
    partBytesMax: 1 << 30,
    pageBytes: PAGE,
    use: 'part',
    workersCount: 1,
    scan: { pageBytes: PAGE, sinceLsn: SINCE_LSN },
  }
  const storage = {
    name: 'default',
    driver: { kind: 'fs', root: place.at('repository'), isDurable: true },
    prefix: '',
    stallTimeoutMs: 30_000,
  } as const
  await using workers = new PartWorkers({ workersCount: 1, storage, codec: { compression: 'none' } })
  const files = new PackedFiles(entries, () => true, plan)
  await workers.pack(task, files, {
    signal: new AbortController().signal,
    progress: silentProgress,
    stallTimeoutMs: 60_000,
    onReport: () => {},
  })
  return files
}

test('of a file that was cut since the walk a delta does not say that the rest is zero: it is the parent’s', async () => {
  const parent = { blocks: WALKED_BLOCKS, usedBlocks: WALKED_BLOCKS - 1 }
  const order = { method: 'scan', parent, blocks: undefined } as const
  const files = await packDelta(changedPages(LEFT_BLOCKS), WALKED_BLOCKS, order)
  expect(files.state(0)).toBe('incremented')
  expect(files.pages(0)).toBe(LEFT_BLOCKS)
  expect(files.usedBlocks(0)).toBe(WALKED_BLOCKS - 1)
})

test('a file that has been longer is remembered so, until it is stored whole', async () => {
  const parent = { blocks: 20, usedBlocks: 20 }
  for (const [known, used] of [
    [parent, 20],
    [{ blocks: 3, usedBlocks: 20 }, 20],
    [{ blocks: 3, usedBlocks: 3 }, LEFT_BLOCKS],
    [undefined, BLOCKS_MAX],
  ] as const) {
    const order = { method: 'scan', parent: known, blocks: undefined } as const
    const files = await packDelta(changedPages(LEFT_BLOCKS), LEFT_BLOCKS, order)
    expect([files.state(0), files.usedBlocks(0)]).toEqual(['incremented', used])
  }
  const grown = Buffer.concat([changedPages(LEFT_BLOCKS), Buffer.alloc(2 * PAGE)])
  const order = { method: 'scan', parent: { blocks: 4, usedBlocks: 20 }, blocks: undefined } as const
  const files = await packDelta(grown, LEFT_BLOCKS + 2, order)
  expect([files.state(0), files.usedBlocks(0)]).toEqual(['packed', LEFT_BLOCKS])
})

test('zero pages at the end that no map names are found where the size of the parent is not known', async () => {
  const blocks = Uint32Array.of(1, 5)
  const named = { method: 'blocks', parent: undefined, blocks } as const
  const holes = Buffer.concat([changedPages(4), Buffer.alloc(PAGE), changedPages(1)])
  expect((await packDelta(holes, 6, named)).state(0)).toBe('packed')
  expect((await packDelta(changedPages(6), 6, named)).state(0)).toBe('incremented')
})
