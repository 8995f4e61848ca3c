import { expect, test } from 'bun:test'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { instrumentFiles } from '../../test/doubles/instrumented-files.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { removeFileDurably, writeFileDurably } from './atomic-file.ts'
import type { FileCallName } from './file-system.ts'
import { replaceFileSystem } from './file-system.ts'

test('a file is written from text, bytes or a stream, over what was there', async () => {
  using directory = tempDirectory('atomic')
  const path = directory.at('marker')
  await writeFileDurably(path, 'text')
  expect(readFileSync(path, 'utf8')).toBe('text')
  await writeFileDurably(path, new Uint8Array([1, 2, 3]), { mode: 0o640 })
  expect([...readFileSync(path)]).toEqual([1, 2, 3])
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array([4])
    yield new Uint8Array([5, 6])
  }
  await writeFileDurably(path, stream(), { isDurable: false })
  expect([...readFileSync(path)]).toEqual([4, 5, 6])
  expect(readdirSync(directory.path)).toEqual(['marker'])
})

test('the mode is private unless another is asked for', async () => {
  using directory = tempDirectory('atomic')
  await writeFileDurably(directory.at('marker'), 'x')
  expect(statSync(directory.at('marker')).mode & 0o777).toBe(0o600)
})

test('whatever call fails, the old file is there or the new one, and no temporary', async () => {
  const calls: FileCallName[] = ['open', 'write', 'fsync', 'close', 'rename']
  for (const call of calls) {
    for (const nth of [1, 2]) {
      using directory = tempDirectory('atomic')
      const path = directory.at('marker')
      writeFileSync(path, 'old')
      const files = instrumentFiles({ faults: [{ call, nth, errno: 'EIO' }] })
      const restore = replaceFileSystem(files)
      const failure = await writeFileDurably(path, 'new').then(
        () => undefined,
        error => error,
      )
      restore()
      if (files.unconsumed().length > 0) expect(failure).toBeUndefined()
      else expect(failure).toMatchObject({ code: 'FILE_ACCESS' })
      expect(['old', 'new']).toContain(readFileSync(path, 'utf8'))
      expect(readdirSync(directory.path)).toEqual(['marker'])
      expect(files.openPaths()).toEqual([])
    }
  }
})

test('a full disk is DISK_FULL, a missing directory FILE_NOT_FOUND', async () => {
  using directory = tempDirectory('atomic')
  const restore = replaceFileSystem(instrumentFiles({ faults: [{ call: 'write', errno: 'ENOSPC' }] }))
  const full = writeFileDurably(directory.at('marker'), 'x')
  await expect(full).rejects.toMatchObject({ code: 'DISK_FULL' })
  restore()
  const missing = writeFileDurably(directory.at('no', 'marker'), 'x')
  await expect(missing).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
})

test('an error of the stream reaches the caller as it was', async () => {
  using directory = tempDirectory('atomic')
  const own = new Error('own')
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array([1])
    throw own
  }
  await expect(writeFileDurably(directory.at('marker'), stream())).rejects.toBe(own)
  expect(readdirSync(directory.path)).toEqual([])
})

test('removing what is not there is not an error', async () => {
  using directory = tempDirectory('atomic')
  writeFileSync(directory.at('marker'), 'x')
  await removeFileDurably(directory.at('marker'))
  await removeFileDurably(directory.at('marker'))
  expect(readdirSync(directory.path)).toEqual([])
})
