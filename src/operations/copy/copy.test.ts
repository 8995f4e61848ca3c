import { describe, expect, test } from 'bun:test'
import { stoppingStorage } from '../../../test/doubles/stopping-storage.ts'
import { keysOf, memoryStorage, putBackup, putObject } from '../../../test/support/stored-objects.ts'
import { createLogger } from '../../kit/log.ts'
import { silentProgress } from '../../kit/progress.ts'
import { readCatalog } from '../../repository/catalog.ts'
import type { Storage } from '../../storage/storage.ts'
import { type CopyOptions, copyRepository } from './copy.ts'

const OPTIONS: CopyOptions = { backup: undefined, withHistory: false, segmentBytes: 1 << 24 }

function copy(source: Storage, target: Storage, options: Partial<CopyOptions> = {}) {
  const context = {
    source,
    target,
    log: createLogger(() => {}),
    progress: silentProgress,
    signal: new AbortController().signal,
  }
  return copyRepository(context, { ...OPTIONS, ...options })
}

/** A chain with WAL from segment 2 to 5. */
async function startSource(): Promise<{ source: Storage; full: string; delta: string }> {
  const source = memoryStorage('source')
  const full = await putBackup(source, 2)
  const delta = await putBackup(source, 4, full)
  for (const number of [3, 5]) await putObject(source, `wal_005/00000001000000000000000${number}.lz4`, 'w')
  await putObject(source, 'wal_005/00000002.history.lz4', 'h')
  return { source, full, delta }
}

describe('copy', () => {
  test('a delta brings its parent, its own WAL and every history along', async () => {
    const { source, delta } = await startSource()
    const target = memoryStorage('target')
    await copy(source, target, { backup: delta })
    expect(await keysOf(target, 'basebackups_005')).toEqual(await keysOf(source, 'basebackups_005'))
    expect(await keysOf(target, 'wal_005')).toEqual([
      'wal_005/000000010000000000000004.lz4',
      'wal_005/00000002.history.lz4',
    ])
  })

  test('with history all WAL behind the backup goes, and a gap in it stops everything before the first byte', async () => {
    const { source, full } = await startSource()
    const target = memoryStorage('target')
    await copy(source, target, { backup: full, withHistory: true })
    expect(await keysOf(target, 'wal_005')).toEqual(await keysOf(source, 'wal_005'))

    const other = memoryStorage('other')
    await source.delete(['wal_005/000000010000000000000003.lz4'])
    await expect(copy(source, other, { backup: full, withHistory: true })).rejects.toThrow(
      'gap in PostgreSQL WAL history on timeline 00000001 between segments 2 and 4',
    )
    await source.delete(['wal_005/000000010000000000000002.lz4'])
    await expect(copy(source, other, { backup: full })).rejects.toThrow(
      'first required PostgreSQL WAL segment "000000010000000000000002" is missing',
    )
    expect(await keysOf(other)).toEqual([])
  })

  test('an object of another size in the target stops everything before the first byte', async () => {
    const { source, delta } = await startSource()
    const target = memoryStorage('target')
    const key = `basebackups_005/${delta}/metadata.json`
    await putObject(target, key, 'something else')
    await expect(copy(source, target)).rejects.toThrow(`destination object "${key}" conflicts with source`)
    expect(await keysOf(target)).toEqual([key])
  })

  test('killed after any effect, every listed backup is whole, and the next run completes the copy', async () => {
    for (let effects = 0; ; effects++) {
      const { source, full, delta } = await startSource()
      const target = memoryStorage('target')
      const isDone = await copy(source, stoppingStorage(target, { left: effects })).then(
        () => true,
        () => false,
      )
      const listed = (await readCatalog(target)).backups.map(({ name }) => name as string)
      const keys = await keysOf(target)
      for (const name of listed) {
        expect(keys.filter(key => key.startsWith(`basebackups_005/${name}/`))).toHaveLength(3)
        if (name === delta) expect(listed).toContain(full)
      }
      await copy(source, target)
      expect(await keysOf(target, 'basebackups_005')).toEqual(await keysOf(source, 'basebackups_005'))
      const order = (await readCatalog(target)).backups.map(({ name }) => name as string)
      expect(order).toEqual([full, delta])
      if (isDone) return
    }
  })

  test('a source that delivers less than it listed stores nothing', async () => {
    const { source } = await startSource()
    const target = memoryStorage('target')
    const cutting: Storage = {
      ...stoppingStorage(source, { left: 0 }),
      async get(key, options) {
        const body = await source.get(key, options)
        if (!key.endsWith('part_001.tar.lz4')) return body
        return (async function* () {
          for await (const chunk of body) yield chunk.subarray(0, 3)
        })()
      },
    }
    await expect(copy(cutting, target)).rejects.toThrow('was listed with')
    expect((await keysOf(target)).filter(key => key.includes('part_001'))).toEqual([])
  })
})
