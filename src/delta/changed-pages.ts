import type { RelationFile } from '../postgres/relation-file.ts'

/**
 * What a block map says of one file (at most 1 GiB) of a relation's main fork: which of its blocks may differ from
 * those of the parent backup.
 *
 * * `unknown`: the map cannot tell. Every page of the file is read and judged by its LSN.
 * * `replaced`: the relation was dropped, created or re-written since the parent: what the parent has under this name
 *   is another file. It is stored whole.
 * * numbers: strictly ascending, counted from the beginning of this file (not of the relation). Nothing else of the
 *   file is read. Empty: no block changed. Numbers at or beyond the file's end are ignored (WAL replay brings them).
 */
export type FileChanges = 'unknown' | 'replaced' | Uint32Array

/** What is known of the file without opening it. */
export interface FileSizes {
  /** Whole blocks of the file as the walk found it. */
  readonly blocks: number
  /** The same for the parent backup; undefined when the parent does not tell (a backup of the original). */
  readonly parentBlocks: number | undefined
}

/**
 * The door for block maps: which blocks changed between the start LSN of the parent and that of the new backup, read
 * from WAL, `_delta` objects or WAL summaries instead of from the files. Without one a delta push scans.
 *
 * A map that is given promises, for every file that it does not call `unknown`:
 *
 * 1. every block that a WAL record with `parent start LSN <= record < new start LSN` touches is among the numbers, by
 *    full-page images too; changes after the new start LSN need not be: WAL replay makes them again;
 * 2. a truncation to `n` blocks within that range counts as a change of every block from `n` on: those below
 *    `sizes.blocks` are among the numbers, even when they are zero now and no record names them;
 * 3. a relation that was created, dropped and created again, or copied file by file (CREATE DATABASE with FILE_COPY, ALTER
 *    DATABASE SET TABLESPACE) in that range is `replaced`;
 * 4. hint bits alone are no change.
 *
 * If any of it is in doubt, for one relation: `unknown`; for the whole range: no map at all. Only main forks of permanent
 * relations below `base/` and `pg_tblspc/` are asked for; blocks of other forks must not be mixed in (more numbers than needed
 * do no harm). Called once for a file, on the main thread, after the walk; not for files whose times prove that they are as
 * they were. Must not block: everything is read before.
 */
export interface ChangedPages {
  /** Where the knowledge comes from, for the log: `WAL summaries`, `_delta files`. */
  readonly source: string
  changesOf(file: RelationFile, sizes: FileSizes): FileChanges
}
