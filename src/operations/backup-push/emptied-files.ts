import type { PackedFiles } from './part/packed-files.ts'
import type { BackupSource, SourceStop } from './source/backup-source.ts'

/**
 * Tells files whose pages no server will ever read: of unlogged relations, but for their init forks, in a directory that was
 * restored and never started. It goes through recovery first, which empties them, and a page that was just being written while
 * the directory's own backup was taken stays torn until then. Of a running server such a page is damage.
 */
export function tellEmptied(
  files: PackedFiles,
  source: BackupSource,
  { labels }: SourceStop,
): (index: number) => boolean {
  const isNeverStarted = source.databases === undefined && labels !== undefined
  return isNeverStarted ? files.tellUnlogged() : () => false
}
