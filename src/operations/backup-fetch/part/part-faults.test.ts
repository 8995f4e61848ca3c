import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import type { FileFault } from '../../../../test/doubles/instrumented-files.ts'
import { FetchRig, fullBackup } from '../../../../test/support/fetch-rig.ts'
import type { SystemModuleDescription } from './part-protocol.ts'

let rig: FetchRig

beforeEach(async () => {
  rig = await FetchRig.open()
  rig.make({ ...fullBackup, hasManifest: true })
})
afterEach(() => rig.close())

/** The faults are struck inside the part workers, on the calls for restored files. */
function system(...faults: FileFault[]): SystemModuleDescription {
  const url = new URL('../../../../test/doubles/instrumented-files.ts', import.meta.url).href
  return { url, options: { faults } }
}

describe('the disk under a restore', () => {
  for (const [title, fault, code] of [
    ['that is full', { call: 'write', path: 'base/5/2', errno: 'ENOSPC', times: 1e9 }, 'DISK_FULL'],
    ['that fails on fsync', { call: 'fsync', path: 'base/5/2', errno: 'EIO' }, 'FILE_ACCESS'],
    [
      'that fails on the fsync of the last file',
      { call: 'fsync', path: 'pg_control', errno: 'EIO' },
      'FILE_ACCESS',
    ],
    ['that fails on write', { call: 'write', path: 'base/5/1', errno: 'EIO' }, 'FILE_ACCESS'],
    ['that takes nothing', { call: 'write', path: 'base/5/1', bytesMax: 0, times: 1e9 }, 'FILE_ACCESS'],
    ['that may not be written', { call: 'open', path: 'base/5/1', errno: 'EACCES' }, 'FILE_ACCESS'],
  ] as const) {
    test(`${title}: an error that names the file, and no complete directory`, async () => {
      const error = await rig.failure(rig.fetch({ isDurable: true, systemModule: system(fault) }))
      expect(error.code).toBe(code)
      expect(error.message).toContain(fault.path)
      expect(existsSync(rig.restored('wal-g_fetch_state'))).toBe(true)
      await rig.fetch({ isDurable: true, isResume: true })
      expect(rig.read('base/5/2')).toBe('two'.repeat(90_000))
    })
  }

  test('that takes a few bytes at a time gets them all', async () => {
    const systemModule = system({ call: 'write', path: 'base/5/', bytesMax: 777, times: 1e9 })
    await rig.fetch({ isDurable: true, systemModule })
    expect([rig.read('base/5/1'), rig.read('base/5/2')]).toEqual(['one'.repeat(5000), 'two'.repeat(90_000)])
  })
})
