import { HASH_ALGORITHM } from '../../../kit/hash.ts'
import { localTimestampFromNs } from '../../../kit/timestamp.ts'
import type { CorruptBlocks, FileEntry, FilesMetadataSource } from '../../../repository/files-metadata.ts'
import { PARTS_FOLDER } from '../../../repository/layout.ts'
import type { ManifestSource } from '../../../repository/manifest.ts'
import type { StoredPart } from '../part/part.ts'
import type { RemoteFile } from './remote-parts.ts'

const CORRUPT_BLOCKS_LISTED_MAX = 10

/** `files_metadata.json`: regular files with their times, and no list of parts (storage-format 1.10). */
export function remoteFilesMetadata(
  files: readonly RemoteFile[],
  damage: ReadonlyMap<string, readonly number[]>,
  storesAllCorrupt: boolean,
): FilesMetadataSource {
  const byName = new Map(files.map(file => [file.name.replace(/^\.\//, ''), file]))
  return {
    filesCount: byName.size,
    databases: null,
    *entries(): Generator<FileEntry> {
      for (const [name, { mtimeNs }] of byName) {
        const blocks = damage.get(name)
        yield {
          name,
          isIncremented: false,
          isSkipped: false,
          mtime: localTimestampFromNs(mtimeNs),
          ...(blocks === undefined ? {} : { corruptBlocks: corruptBlocks(blocks, storesAllCorrupt) }),
        }
      }
    },
    partNames: () => [],
    *partMembers(): Generator<string> {},
  }
}

/** The content manifest of what the server sent. */
export function remoteManifest(
  backup: string,
  parts: readonly StoredPart[],
  files: readonly RemoteFile[],
): ManifestSource {
  const keyOf = (part: string): string => `${PARTS_FOLDER}/${part}`
  return {
    // the clock of the server is not known here: no delta may trust times of this backup
    header: { backup, hashAlgorithm: HASH_ALGORITHM },
    filesCount: files.length,
    *objects() {
      for (const { name, storedBytes, storedHash } of parts) {
        yield { key: keyOf(name), sizeBytes: storedBytes, hash: storedHash }
      }
    },
    *files() {
      for (const { name, part, sizeBytes, hash } of files) {
        yield { name, object: keyOf(part), sizeBytes, hash }
      }
    },
    *kept() {},
  }
}

function corruptBlocks(blocks: readonly number[], storesAll: boolean): CorruptBlocks {
  const sorted = blocks.toSorted((left, right) => left - right)
  return { count: sorted.length, some: storesAll ? sorted : sorted.slice(0, CORRUPT_BLOCKS_LISTED_MAX) }
}
