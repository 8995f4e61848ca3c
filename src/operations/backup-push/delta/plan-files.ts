import { closeSync } from 'node:fs'
import type { ChangedPages } from '../../../delta/changed-pages.ts'
import type { ParentFile } from '../../../delta/page-selection.ts'
import { collectGarbageEvery } from '../../../kit/thread.ts'
import { isPagedFile, parseRelationFile, type RelationFile } from '../../../postgres/relation-file.ts'
import { changesWithoutWal, UNLOGGED_PROBE_BYTES } from '../../../postgres/unlogged-page.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { tellUnlogged } from '../../../postgres/walk/unlogged-relations.ts'
import { openFile, readInto } from '../part/file-reading.ts'
import type { DoubtfulDatabases } from './doubtful-databases.ts'
import { FilePlan } from './file-plan.ts'
import { findNewDatabases } from './new-databases.ts'
import type { ParentFiles } from './parent/parent-files.ts'
import { scanMethod, type VisibleMarks } from './visible-pages.ts'

export interface PlanInput {
  readonly entries: DataEntries
  /** Which entries are files of the backup. */
  readonly isFile: (index: number) => boolean
  readonly parent: Pick<ParentFiles, 'files' | 'sizes' | 'isFull' | 'settledNs'>
  readonly pageBytes: number
  /** Absent: changed pages are found by reading. */
  readonly changed: ChangedPages | undefined
  /** Absent: VACUUM moves the LSN of the pages that it marks all-visible. */
  readonly marks?: VisibleMarks | undefined
  /** See `movedDatabases`; absent: times have to tell. */
  readonly movedIn?: ReadonlySet<string> | undefined
  /** See `sameDatabases`; absent: nobody tells. */
  readonly same?: ReadonlySet<number> | undefined
  /** Is told what is stored whole for want of knowledge. */
  readonly doubtful?: DoubtfulDatabases | undefined
}

/** The times of a file do not tell two changes within this span apart: one tick of the kernel. */
const TICK_NS = 20_000_000n
/** The same on file systems that keep whole seconds, or pairs of them. */
const COARSE_TICK_NS = 2_000_000_000n
const SECOND_NS = 1_000_000_000n

/** Times and sizes of so many files leave tens of megabytes of garbage behind. */
const FILES_PER_COLLECTION = 1 << 17

/**
 * Decides for every file of a delta how it is packed (storage-format 3.2, more carefully).
 *
 * * Skipped is what the parent has with exactly the same time, when nothing at all (content, name or attributes) happened to it
 *   since the parent looked: its time of change, which nobody can set, is older than that. A file written while the parent
 *   was taken is therefore read again.
 * * Read page by page, or by the block map, is the main fork of a permanent relation that the parent has under this name.
 *   `visible-pages.ts` says which of its pages an LSN does not tell.
 * * Everything else is stored whole: so is every file of a database whose files were copied while or after the parent was taken, or
 *   that was created again with its old number: pages may be older than the parent and still others, or the parent has half of
 *   them; of unlogged relations, whose pages tell nothing; and every file in which the parent saw damaged pages, even when nothing
 *   happened to it: whoever mends one may bring a page that is older than the parent.
 * * In a directory that was restored or copied since the parent, so is every file of a database that nobody knows to be the parent's,
 *   unless the block map knows what became of the file.
 */
export function planFiles(input: PlanInput): FilePlan {
  const { entries, isFile, parent, pageBytes } = input
  const plan = new FilePlan(entries.count)
  const databases = findNewDatabases(input)
  // their pages tell nothing
  const isUnlogged = tellUnlogged(entries)
  const scratch = new Uint8Array(entries.memberNameBytesMax)
  const collect = collectGarbageEvery(FILES_PER_COLLECTION)
  for (let index = 0; index < entries.count; index++) {
    collect(1)
    if (!isFile(index)) continue
    const row = parent.files.findSlice(scratch, 0, entries.writeMemberName(index, scratch))
    if (row < 0) continue
    const known = parent.sizes.at(row)
    const sizeBytes = entries.sizeBytes(index)
    // its damage is looked at again, so that it is told again
    const isDamaged = parent.files.hasCorruptBlocks(row)
    if (isDamaged) plan.setDamage(index, parent.files.entry(row).corruptBlocks!)
    if (!isDamaged && isSettled(input, index, row, known)) {
      plan.set(index, 'skip', known ?? wholeInParent(parent, sizeBytes / pageBytes))
      continue
    }
    const name = entries.memberName(index)
    if (!isPagedFile(name, sizeBytes, pageBytes)) continue
    const relation = parseRelationFile(name)!
    if (databases.isNew(relation) || isUnlogged(index) || isDamaged) continue
    const isDoubtful = databases.isDoubtful(relation)
    planPages(plan, input, { index, relation, blocks: sizeBytes / pageBytes, parent: known, isDoubtful })
  }
  return plan
}

interface PagedFile {
  readonly index: number
  readonly relation: RelationFile
  readonly blocks: number
  readonly parent: ParentFile | undefined
  /** The parent may have a file of another database under this name: LSNs do not tell. */
  readonly isDoubtful: boolean
}

function planPages(plan: FilePlan, input: PlanInput, file: PagedFile): void {
  const { changed, entries, marks, doubtful, pageBytes } = input
  const { index, relation, blocks, parent, isDoubtful } = file
  let changes = changed?.changesOf(relation, { blocks, parentBlocks: parent?.blocks }) ?? 'unknown'
  if (changes === 'replaced') return
  if (changes === 'unknown' && isDoubtful) {
    doubtful?.add(relation.databaseOid, blocks * pageBytes)
    return
  }
  if (changes === 'unknown') {
    plan.set(index, scanMethod(marks, entries.path(index), { relation, blocks }), parent)
    return
  }
  const isOutside = relation.segment === 0 && changes[0] !== 0 && changesOutsideWal(entries.path(index))
  if (isOutside) changes = Uint32Array.of(0, ...changes)
  if (changes.length === 0 && parent?.blocks === blocks) plan.set(index, 'skip', parent)
  else plan.setBlocks(index, withNewBlocks(changes, blocks, parent), parent)
}

/** What a full backup that tells no sizes has of a file to which nothing has happened since. */
function wholeInParent({ isFull }: PlanInput['parent'], blocks: number): ParentFile | undefined {
  return isFull && Number.isInteger(blocks) ? { blocks, usedBlocks: blocks } : undefined
}

/** No map knows of the one block that the server writes without WAL: the file itself is asked, by its first bytes. */
function changesOutsideWal(path: string): boolean {
  const fd = openFile(path)
  if (fd === undefined) return false
  try {
    const first = new Uint8Array(UNLOGGED_PROBE_BYTES)
    readInto({ fd, path, position: 0 }, first, 0, first.length)
    return changesWithoutWal(first)
  } finally {
    closeSync(fd)
  }
}

/** Blocks behind the end of the parent's file are looked at in any case; those behind its own end are not there. */
function withNewBlocks(changes: Uint32Array, blocks: number, parent: ParentFile | undefined): Uint32Array {
  const from = Math.min(parent?.blocks ?? blocks, blocks)
  const below = changes.findIndex(block => block >= from)
  const kept = below < 0 ? changes : changes.subarray(0, below)
  const all = new Uint32Array(kept.length + blocks - from)
  all.set(kept)
  for (let block = from; block < blocks; block++) all[kept.length + block - from] = block
  return all
}

type SettledInput = Pick<PlanInput, 'entries' | 'pageBytes'> & {
  readonly parent: Pick<ParentFiles, 'files' | 'settledNs'>
}

/** Nothing at all happened to the file since the parent looked. */
export function isSettled(
  { entries, parent, pageBytes }: SettledInput,
  index: number,
  row: number,
  known: ParentFile | undefined,
): boolean {
  const { settledNs } = parent
  if (settledNs === undefined || entries.mtimeNs(index) !== parent.files.mtimeNs(row)) return false
  if (known !== undefined && known.blocks * pageBytes !== entries.sizeBytes(index)) return false
  const changedNs = entries.ctimeNs(index)
  const tickNs = changedNs % SECOND_NS === 0n ? COARSE_TICK_NS : TICK_NS
  return changedNs + tickNs < settledNs
}
