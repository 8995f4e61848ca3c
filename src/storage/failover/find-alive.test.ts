import { describe, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { faultyStorage, type StorageFault } from '../../../test/doubles/faulty-storage.ts'
import { keysOf, memoryStorage } from '../../../test/support/stored-objects.ts'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { WalgError } from '../../kit/errors.ts'
import { createLogger } from '../../kit/log.ts'
import type { StorageDescription } from '../description.ts'
import { type AliveRequest, findAlive } from './find-alive.ts'
import { failoverSettings } from './settings.ts'
import { openStatusCache } from './status-cache.ts'

const MINUTE_MS = 60_000

/** Two storages; `faults` are those of the first. */
function scene(path: string, ...faults: readonly StorageFault[]) {
  const storages = ['default', 'st_b'].map(name => memoryStorage(name))
  // The same storage is opened again and again.
  const first = { ...faultyStorage(storages[0]!, ...faults), close: async () => {} }
  const descriptions = ['default', 'st_b'].map(
    (name): StorageDescription => ({
      name,
      driver: { kind: 'memory', id: name },
      prefix: '',
      stallTimeoutMs: 0,
    }),
  )
  const settings = Object.fromEntries(
    Object.entries(failoverSettings).map(([name, { default: value }]) => [name, value]),
  ) as unknown as AliveRequest['settings']
  const opened: string[] = []
  const find = async (nowMs: number, changes: Partial<AliveRequest> = {}) => {
    const cache = openStatusCache(path)
    const found = await findAlive({
      descriptions,
      mode: 'rw',
      isFirstEnough: true,
      settings: { ...settings, WALG_FAILOVER_STORAGES_CHECK_SIZE: 1000 },
      cache,
      open: async ({ name }) => {
        opened.push(name)
        const storage = name === 'default' ? first : storages[1]!
        await storage.checkRoot()
        return storage
      },
      log: createLogger(() => {}),
      signal: new AbortController().signal,
      nowMs: () => nowMs,
      ...changes,
    })
    await cache.flush(reason => {
      throw new Error(reason)
    })
    return found.alive.map(({ description }) => description.name)
  }
  return { find, first, storages, opened }
}

describe('which storage is alive', () => {
  test('a storage is probed by writing once, and then believed for the lifetime of the cache', async () => {
    using place = tempDirectory('alive')
    const { find, first, storages } = scene(place.at('cache'))
    const probes = (): number => first.calls.filter(call => call.startsWith('put ')).length
    expect(await find(0)).toEqual(['default'])
    expect(await find(14 * MINUTE_MS)).toEqual(['default'])
    expect(probes()).toBe(1)
    expect(await find(16 * MINUTE_MS)).toEqual(['default'])
    expect(probes()).toBe(2)
    expect(await keysOf(storages[0]!)).toEqual([])
  })

  test('one that lists but cannot be written to is dead for pushes and alive for fetches', async () => {
    using place = tempDirectory('alive')
    const full = { operation: 'put', times: Number.POSITIVE_INFINITY } as const
    const { find, first } = scene(place.at('cache'), { ...full, error: new WalgError('DISK_FULL', 'full') })
    expect(await find(0)).toEqual(['st_b'])
    expect(await find(0, { mode: 'ro', cache: openStatusCache(place.at('other')) })).toEqual(['default'])
    first.verifyAllFaultsStruck()
  })

  test('a dead one whose probe took long is not asked again before the lifetime is over, unless it is needed', async () => {
    using place = tempDirectory('alive')
    const { find, opened } = scene(place.at('cache'), { operation: 'checkRoot' })
    expect(await find(0)).toEqual(['st_b'])
    const cache = JSON.parse(readFileSync(place.at('cache'), 'utf8'))
    for (const status of Object.values(cache) as Record<string, unknown>[]) {
      if (status['previous_aliveness'] === false) status['probe_ms'] = 30_000
    }
    writeFileSync(place.at('cache'), JSON.stringify(cache))
    opened.length = 0
    expect(await find(5 * MINUTE_MS)).toEqual(['st_b'])
    expect(opened).toEqual(['st_b'])
    expect(await find(6 * MINUTE_MS, { isInsistent: true })).toEqual(['default'])
  })

  test('a dead one whose probe failed at once is asked by the next command', async () => {
    using place = tempDirectory('alive')
    const { find } = scene(place.at('cache'), { operation: 'checkRoot' })
    expect(await find(0)).toEqual(['st_b'])
    expect(await find(1000)).toEqual(['default'])
  })

  test('a probe that hangs ends in time', async () => {
    using place = tempDirectory('alive')
    const { find } = scene(place.at('cache'), { operation: 'checkRoot', hangs: true })
    const settings = { ...requestSettings(), WALG_FAILOVER_STORAGES_CHECK_TIMEOUT: 20 }
    expect(await find(0, { settings })).toEqual(['st_b'])
  })

  test('entries of other programs stay in the file, and a damaged file is an empty one', async () => {
    using place = tempDirectory('alive')
    const foreign = {
      potential_aliveness: 1,
      actual_aliveness: 1,
      previous_aliveness: true,
      updated: '2026-11-26T01:27:52.565578308Z',
    }
    writeFileSync(place.at('cache'), JSON.stringify({ 'default#of-another': foreign }))
    const { find } = scene(place.at('cache'))
    await find(0)
    const kept = JSON.parse(readFileSync(place.at('cache'), 'utf8'))
    expect(Object.keys(kept)).toHaveLength(2)
    expect(kept['default#of-another']).toMatchObject({ potential_aliveness: 1, previous_aliveness: true })
    writeFileSync(place.at('cache'), '{"default#')
    expect(await find(0)).toEqual(['default'])
  })
})

function requestSettings(): AliveRequest['settings'] {
  return Object.fromEntries(
    Object.entries(failoverSettings).map(([name, { default: value }]) => [name, value]),
  ) as unknown as AliveRequest['settings']
}
