import { expect, test } from 'bun:test'
import { timestampFromNs } from '../../../../kit/timestamp.ts'
import { DataEntryColumns } from '../../../../postgres/walk/data-entries.ts'
import { FilesMetadata } from '../../../../repository/files-metadata.ts'
import { findOlderFile } from './older-files.ts'

const PAGE = 8192
const THEN = 1_700_000_000_500_000_000n
const SECOND = 1_000_000_000n

/** Of one file that the parent has with the time `parentNs`. */
function older(
  name: string,
  mtimeNs: bigint,
  parentNs: bigint | undefined,
  isFile = true,
): string | undefined {
  const entries = new DataEntryColumns()
  const cut = name.lastIndexOf('/')
  const place = entries.addPlace(`/data${name.slice(0, cut)}`, name.slice(0, cut))
  const owner = { mode: 0o600, uid: 0, gid: 0 }
  entries.add(place, name.slice(cut + 1), {
    kind: 'file',
    sizeBytes: PAGE,
    mtimeNs,
    ctimeNs: mtimeNs,
    ...owner,
  })
  const files = new FilesMetadata()
  if (parentNs !== undefined) {
    files.addFile({ name, isIncremented: false, isSkipped: false, mtime: timestampFromNs(parentNs) })
  }
  return findOlderFile({ entries, isFile: () => isFile, pageBytes: PAGE, parent: { files } })
}

test('a relation file that the parent has with a later time was brought back', () => {
  expect(older('/base/5/16384', THEN - 3n * SECOND, THEN)).toBe('/base/5/16384')
})

test('times that are equal, newer, unknown or only coarser tell nothing, and neither do other files', () => {
  expect(older('/base/5/16384', THEN, THEN)).toBeUndefined()
  expect(older('/base/5/16384', THEN + 9n * SECOND, THEN)).toBeUndefined()
  expect(older('/base/5/16384', THEN - SECOND, THEN)).toBeUndefined()
  expect(older('/base/5/16384', THEN - 3n * SECOND, undefined)).toBeUndefined()
  expect(older('/base/5/16384', THEN - 3n * SECOND, THEN, false)).toBeUndefined()
  expect(older('/postgresql.conf', THEN - 3n * SECOND, THEN)).toBeUndefined()
})
