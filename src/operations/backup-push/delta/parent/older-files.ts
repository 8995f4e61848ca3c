import { isPagedFile } from '../../../../postgres/relation-file.ts'
import type { DataEntries } from '../../../../postgres/walk/data-entries.ts'
import type { ParentFiles } from './parent-files.ts'

/** Copies may lose what is finer than the times of their file system: whole seconds, or pairs of them. */
const SLACK_NS = 2_000_000_000n

export interface OlderFilesInput {
  readonly entries: DataEntries
  /** Which entries are files of the backup. */
  readonly isFile: (index: number) => boolean
  readonly pageBytes: number
  readonly parent: { readonly files: Pick<ParentFiles['files'], 'find' | 'mtimeNs'> }
}

/**
 * The name of a relation's file that was written later in the parent than it is now, if there is one. Nothing that goes on does that: an
 * older state of the files was brought back. That there is none proves nothing.
 */
export function findOlderFile({ entries, isFile, pageBytes, parent }: OlderFilesInput): string | undefined {
  for (let index = 0; index < entries.count; index++) {
    if (!isFile(index)) continue
    const name = entries.memberName(index)
    if (!isPagedFile(name, entries.sizeBytes(index), pageBytes)) continue
    const row = parent.files.find(name)
    if (row >= 0 && entries.mtimeNs(index) + SLACK_NS < parent.files.mtimeNs(row)) return name
  }
  return undefined
}
