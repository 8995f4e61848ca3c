import { describe, expect, test } from 'bun:test'
import { faultyStorage } from '../../../test/doubles/faulty-storage.ts'
import { keysOf, memoryStorage, putObject, readObject } from '../../../test/support/stored-objects.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Storage } from '../storage.ts'
import { type MirrorWatch, withCopies } from './copies.ts'

function watch(): MirrorWatch & { readonly gaps: string[]; readonly down: Set<number> } {
  const gaps: string[] = []
  const down = new Set<number>()
  return {
    gaps,
    down,
    isUp: mirror => !down.has(mirror),
    onOutage: mirror => void down.add(mirror),
    noteGap: (mirror, key) => void gaps.push(`${mirror} ${key}`),
  }
}

const FAULTS = [
  { operation: 'openSink' },
  { operation: 'openSink', afterBytes: 1 },
  { operation: 'openSink', isAnswerLost: true },
] as const

describe('several storages as one', () => {
  test('an object that one lacks, or cannot give, comes from the next', async () => {
    const [first, second] = [memoryStorage('a'), memoryStorage('b')]
    await putObject(second, 'only/here', 'text')
    const merged = withCopies([first, second])
    expect(await readObject(merged, 'only/here')).toBe('text')
    expect((await merged.stat('only/here')).sizeBytes).toBe(4)
    const failing = faultyStorage(first, { operation: 'get' }, { operation: 'stat' })
    expect(await readObject(withCopies([failing, second]), 'only/here')).toBe('text')
  })

  test('"not there" is only believed when every storage has said so', async () => {
    const failing = faultyStorage(memoryStorage('a'), { operation: 'stat', times: 2 })
    const merged = withCopies([failing, memoryStorage('b')])
    await expect(merged.stat('x')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    const reversed = withCopies([memoryStorage('b'), failing])
    await expect(reversed.stat('x')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    await expect(reversed.stat('x')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    failing.verifyAllFaultsStruck()
  })

  for (const fault of FAULTS) {
    const how = JSON.stringify(fault)
    test(`a mirror that fails (${how}) fails the put, and the first storage shows nothing`, async () => {
      const first = memoryStorage('a')
      const failing = faultyStorage(memoryStorage('b'), fault)
      await expect(putObject(withCopies([first, failing]), 'key', 'long text')).rejects.toBeInstanceOf(
        WalgError,
      )
      expect(await keysOf(first)).toEqual([])
      failing.verifyAllFaultsStruck()
    })

    test(`a watched mirror that fails (${how}) is noted, and nothing more is sent there`, async () => {
      const first = memoryStorage('a')
      const failing = faultyStorage(memoryStorage('b'), fault)
      const watched = watch()
      const storage = withCopies([first, failing], watched)
      await putObject(storage, 'one', 'long text')
      await putObject(storage, 'two', 'long text')
      expect(await keysOf(first)).toEqual(['one', 'two'])
      expect(watched.gaps).toEqual(['0 one', '0 two'])
      expect(failing.calls.filter(call => call.includes('two'))).toEqual([])
    })
  }

  test('the first storage failing fails the put, whoever watches', async () => {
    const failing = faultyStorage(memoryStorage('a'), { operation: 'openSink', afterBytes: 1 })
    const mirror = memoryStorage('b')
    await expect(
      putObject(withCopies([failing, mirror], watch()), 'key', 'long text'),
    ).rejects.toBeInstanceOf(WalgError)
    expect(await keysOf(failing)).toEqual([])
  })

  test('a gap that cannot be noted is not acknowledged', async () => {
    const watched: MirrorWatch = {
      ...watch(),
      isUp: () => false,
      noteGap: () => {
        throw new WalgError('DISK_FULL', 'no space left')
      },
    }
    const storage: Storage = withCopies([memoryStorage('a'), memoryStorage('b')], watched)
    await expect(putObject(storage, 'key', 'text')).rejects.toMatchObject({ code: 'DISK_FULL' })
  })

  test('deletions and copies go everywhere', async () => {
    const copies = [memoryStorage('a'), memoryStorage('b')] as const
    const storage = withCopies(copies)
    await putObject(storage, 'one', 'text')
    await storage.copy('one', 'two')
    await storage.delete(['one'])
    for (const each of copies) expect(await keysOf(each)).toEqual(['two'])
  })
})
