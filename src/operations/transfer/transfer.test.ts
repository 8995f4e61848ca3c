import { describe, expect, test } from 'bun:test'
import { stoppingStorage } from '../../../test/doubles/stopping-storage.ts'
import {
  keysOf,
  memoryStorage,
  putBackup,
  putObject,
  readObject,
} from '../../../test/support/stored-objects.ts'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { createLogger } from '../../kit/log.ts'
import { readCatalog } from '../../repository/catalog.ts'
import type { Storage } from '../../storage/storage.ts'
import type { TransferOptions } from './move-objects.ts'
import { transferBackups } from './transfer-backups.ts'
import { transferFiles } from './transfer-files.ts'
import { openTransferNote } from './transfer-note.ts'

const OPTIONS: TransferOptions = {
  concurrency: 3,
  isFailFast: false,
  isOverwriting: false,
  isPreserving: false,
  filesMax: 1e9,
  appearanceChecks: 3,
  appearanceChecksIntervalMs: 0,
}
const ALL = { name: undefined, backupsMax: 1e9 }

interface Scene {
  readonly source: Storage
  readonly target: Storage
  readonly names: readonly string[]
}

/** Two chains in the source; one backup between them in the target. */
async function startScene(): Promise<Scene> {
  const source = memoryStorage('default')
  const target = memoryStorage('st_b')
  const full = await putBackup(source, 2)
  const delta = await putBackup(source, 4, full)
  const between = await putBackup(target, 5)
  const second = await putBackup(source, 6)
  const last = await putBackup(source, 8, second)
  return { source, target, names: [full, delta, between, second, last] }
}

function contextOf(source: Storage, target: Storage) {
  const messages: string[] = []
  const log = createLogger((level, message) => void messages.push(`${level}: ${message}`))
  return { source, target, log, signal: new AbortController().signal, messages }
}

/** Names of all backups of both storages by time, each once: what a united listing shows. */
async function unitedOrder({ source, target }: Pick<Scene, 'source' | 'target'>): Promise<string[]> {
  const all = [...(await readCatalog(source)).backups, ...(await readCatalog(target)).backups]
  all.sort((left, right) => (left.modifiedNs < right.modifiedNs ? -1 : 1))
  return [...new Set(all.map(({ name }) => name as string))]
}

describe('st transfer backups', () => {
  test('moves whole chains, and LATEST and the order of all backups stay what they were', async () => {
    using place = tempDirectory('transfer')
    const { source, target, names } = await startScene()
    const context = contextOf(source, target)
    const note = openTransferNote(place.at('notes'), 'x')
    // The younger chain stays: the older one becomes part of the target.
    await transferBackups(context, note, { name: undefined, backupsMax: 2 }, OPTIONS)
    expect(await unitedOrder({ source, target })).toEqual([...names])
    expect(await keysOf(source, 'basebackups_005')).toHaveLength(8)
    expect(context.messages.some(line => line.includes('stays in the source: its chain'))).toBe(true)
    await transferBackups(context, openTransferNote(place.at('notes'), 'x'), ALL, OPTIONS)
    expect(await unitedOrder({ source, target })).toEqual([...names])
    expect(await keysOf(source, 'basebackups_005')).toEqual([])
  })

  test('a delta that is named takes its chain along', async () => {
    using place = tempDirectory('transfer')
    const { source, target, names } = await startScene()
    const note = openTransferNote(place.at('notes'), 'x')
    await transferBackups(contextOf(source, target), note, { name: names[1], backupsMax: 1 }, OPTIONS)
    expect((await readCatalog(target)).backups.map(({ name }) => name as string).sort()).toEqual(
      names.slice(0, 3).toSorted(),
    )
  })

  test('killed after any effect, every listed backup is whole, and the next run ends the move', async () => {
    for (let effects = 0; ; effects++) {
      using place = tempDirectory('transfer')
      const { source, target, names } = await startScene()
      const budget = { left: effects }
      const context = contextOf(stoppingStorage(source, budget), stoppingStorage(target, budget))
      const run = transferBackups(context, openTransferNote(place.at('notes'), 'x'), ALL, {
        ...OPTIONS,
        concurrency: 1,
        isFailFast: true,
      })
      const isDone = await run.then(
        () => true,
        () => false,
      )
      const seen = new Set<string>()
      for (const storage of [source, target]) {
        const keys = await keysOf(storage)
        const listed = (await readCatalog(storage)).backups.map(({ name }) => name as string)
        for (const name of listed) {
          seen.add(name)
          expect(keys.filter(key => key.startsWith(`basebackups_005/${name}/`))).toHaveLength(3)
          const parent = names.find(other => name.includes(`_D_${other.slice(5, 29)}`))
          if (parent !== undefined) expect(listed).toContain(parent)
        }
      }
      expect([...seen].sort()).toEqual([...names].sort())

      await transferBackups(contextOf(source, target), openTransferNote(place.at('notes'), 'x'), ALL, OPTIONS)
      expect(await keysOf(source, 'basebackups_005')).toEqual([])
      expect(await keysOf(target, 'basebackups_005')).toHaveLength(20)
      expect((await unitedOrder({ source, target })).at(-1)).toBe(names.at(-1)!)
      if (isDone) {
        expect(effects).toBeGreaterThan(20)
        return
      }
    }
  })

  test('what lies in both storages on purpose stays in both', async () => {
    using place = tempDirectory('transfer')
    const { source, target } = await startScene()
    await putBackup(target, 2)
    const before = await keysOf(source)
    await transferBackups(
      contextOf(source, target),
      openTransferNote(place.at('n'), 'x'),
      {
        name: 'base_000000010000000000000002',
        backupsMax: 1,
      },
      OPTIONS,
    )
    expect((await keysOf(source)).filter(key => key.includes('base_000000010000000000000002/'))).toEqual(
      before.filter(key => key.includes('base_000000010000000000000002/')),
    )
  })
})

describe('st transfer files', () => {
  test('moves what is missing, at most as many as asked for, and leaves what is in both', async () => {
    using place = tempDirectory('transfer')
    const source = memoryStorage('default')
    const target = memoryStorage('st_b')
    for (const name of ['a', 'b', 'c']) await putObject(source, `wal_005/${name}`, name)
    await putObject(target, 'wal_005/b', 'other')
    const note = openTransferNote(place.at('notes'), 'x')
    await transferFiles(contextOf(source, target), note, 'wal_005', { ...OPTIONS, filesMax: 1 })
    expect(await keysOf(source)).toEqual(['wal_005/b', 'wal_005/c'])
    await transferFiles(contextOf(source, target), note, 'wal_005', OPTIONS)
    expect(await keysOf(source)).toEqual(['wal_005/b'])
    expect(await readObject(target, 'wal_005/b')).toBe('other')
    await transferFiles(contextOf(source, target), note, 'wal_005', { ...OPTIONS, isOverwriting: true })
    expect(await keysOf(source)).toEqual([])
    expect(await readObject(target, 'wal_005/b')).toBe('b')
  })

  test('killed after any effect nothing is lost, and the next run empties the source', async () => {
    for (let effects = 0; effects < 8; effects++) {
      using place = tempDirectory('transfer')
      const source = memoryStorage('default')
      const target = memoryStorage('st_b')
      const names = ['a', 'b', 'c'].map(name => `wal_005/${name}`)
      for (const name of names) await putObject(source, name, name)
      const budget = { left: effects }
      const context = contextOf(stoppingStorage(source, budget), stoppingStorage(target, budget))
      await transferFiles(context, openTransferNote(place.at('n'), 'x'), 'wal_005', {
        ...OPTIONS,
        concurrency: 1,
        isFailFast: true,
      }).catch(() => {})
      expect([...new Set([...(await keysOf(source)), ...(await keysOf(target))])].sort()).toEqual(names)
      await transferFiles(contextOf(source, target), openTransferNote(place.at('n'), 'x'), 'wal_005', OPTIONS)
      expect(await keysOf(source)).toEqual([])
      expect(await keysOf(target)).toEqual(names)
    }
  })

  test('an object that never appears in the target stays in the source', async () => {
    using place = tempDirectory('transfer')
    const source = memoryStorage('default')
    const target = memoryStorage('st_b')
    await putObject(source, 'wal_005/a', 'a')
    const swallowing: Storage = { ...stoppingStorage(target, { left: 99 }), put: async () => {} }
    const context = contextOf(source, swallowing)
    const run = transferFiles(context, openTransferNote(place.at('n'), 'x'), 'wal_005', OPTIONS)
    await expect(run).rejects.toThrow('finished with 1 errors')
    expect(await keysOf(source)).toEqual(['wal_005/a'])
  })
})
