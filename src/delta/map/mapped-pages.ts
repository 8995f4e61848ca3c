import type { RelationFile } from '../../postgres/relation-file.ts'
import type { ChangedPages, FileChanges, FileSizes } from '../changed-pages.ts'
import type { ChangeMap } from './change-map.ts'

/** A relation is cut into files of this size. */
const FILE_BYTES = 2 ** 30

/** Answers out of a complete map of the range. `source` is for the log. */
export function openMappedPages(map: ChangeMap, source: string, pageBytes: number): ChangedPages {
  const fileBlocks = FILE_BYTES / pageBytes
  return {
    source,
    changesOf(file: RelationFile, sizes: FileSizes): FileChanges {
      if (file.fork !== 'main' || file.isTemporary) return 'unknown'
      if (map.isReplaced(file.tablespaceOid, file.databaseOid)) return 'replaced'
      const changes = map.find(file.tablespaceOid, file.databaseOid, file.relfilenode)
      if (changes === undefined) return new Uint32Array(0)
      const first = file.segment * fileBlocks
      if (changes.limitBlock <= first) return 'replaced'
      const end = first + fileBlocks
      return fromFirst(changes.blocks.between(first, end), changes.limitBlock, first, sizes.blocks)
    },
  }
}

/** Counts from the first block of the file, and adds every block from the limit to the file's end. */
function fromFirst(blocks: Uint32Array, limitBlock: number, first: number, fileBlocks: number): Uint32Array {
  const limit = Math.min(limitBlock - first, fileBlocks)
  const known: number[] = []
  for (const block of blocks) if (block - first < limit) known.push(block - first)
  const found = new Uint32Array(known.length + fileBlocks - limit)
  found.set(known)
  for (let block = limit, at = known.length; block < fileBlocks; block++, at++) found[at] = block
  return found
}
