import { expect } from 'bun:test'
import path from 'node:path'
import { testUnless } from '../support/skip.ts'
import { missingSmallDisk, runOnSmallDisk } from '../support/small-disk.ts'
import { tempDirectory } from '../support/temp-directory.ts'

testUnless(missingSmallDisk(), 'a disk that is really full is DISK_FULL, and gets its space back', () => {
  using directory = tempDirectory('full')
  const script = path.join(import.meta.dir, 'full-disk-driver.ts')
  const disk = directory.at('disk')
  const result = runOnSmallDisk(disk, 1 << 20, [process.execPath, script, disk])
  expect(result.stderr).toBe('')
  expect(JSON.parse(result.stdout)).toEqual([
    'pooled put: DISK_FULL; ',
    'pooled sink: DISK_FULL; ',
    'pooled copy: DISK_FULL; half',
    'blocking put: DISK_FULL; ',
    'blocking sink: DISK_FULL; ',
    'blocking copy: DISK_FULL; half',
  ])
})
