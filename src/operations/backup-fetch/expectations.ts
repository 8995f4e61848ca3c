import type { ContentManifest } from '../../repository/manifest.ts'
import { canonicalName, type MemberTable } from './member-table.ts'
import type { ExpectationsData } from './part-protocol.ts'

/** The content manifest of one backup, laid out by rows of the table for the workers. */
export interface Expectations {
  readonly data: ExpectationsData
  /** Number of an object (key relative to `<BACKUP>/`), from 1; 0 for one that is not in the manifest. */
  numberOf(object: string): number
  readonly hashOf: (object: string) => string | null
}

/** Rows that are not in the table are not wanted and get no expectation. */
export function layOutManifest(manifest: ContentManifest, table: MemberTable): Expectations {
  const data: ExpectationsData = {
    hashes: new SharedArrayBuffer(table.count * 16),
    sizes: new SharedArrayBuffer(table.count * 8),
    objects: new SharedArrayBuffer(table.count * 4),
  }
  const hashes = new Uint8Array(data.hashes)
  const sizes = new Float64Array(data.sizes)
  const objects = new Uint32Array(data.objects)
  const numbers = new Map<string, number>()
  for (const { key } of manifest.objects()) numbers.set(key, numbers.size + 1)
  for (const file of manifest.files()) {
    const row = table.find(canonicalName(file.name))
    if (row < 0) continue
    hashes.set(Uint8Array.fromHex(file.hash), row * 16)
    sizes[row] = file.sizeBytes
    objects[row] = numbers.get(file.object)!
  }
  return {
    data,
    numberOf: object => numbers.get(object) ?? 0,
    hashOf: object => manifest.object(object)?.hash ?? null,
  }
}
