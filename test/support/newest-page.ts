import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { readPageLsn } from '../../src/postgres/page-header.ts'
import { parseRelationFile } from '../../src/postgres/relation-file.ts'

const PAGE_BYTES = 8192

/** The newest LSN of all pages in the relations of a data directory without tablespaces. */
export function newestPageLsn(dataDirectory: string): bigint {
  let newest = 0n
  for (const entry of readdirSync(dataDirectory, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    if (!entry.isFile() || parseRelationFile(path.relative(dataDirectory, file)) === undefined) continue
    const bytes = readFileSync(file)
    for (let at = 0; at + PAGE_BYTES <= bytes.length; at += PAGE_BYTES) {
      const lsn = readPageLsn(bytes.subarray(at, at + PAGE_BYTES))
      if (lsn > newest) newest = lsn
    }
  }
  return newest
}
