import { createRateLimit, openRateLimit } from '../../src/kit/limits.ts'
import { createStallSlots } from '../../src/kit/stall-watch.ts'
import { openFsDriver } from '../../src/storage/drivers/fs.ts'
import { dropMemory, openMemoryDriver } from '../../src/storage/drivers/memory.ts'
import { withCopies } from '../../src/storage/layers/copies.ts'
import { createMeter, withMeter } from '../../src/storage/layers/meter.ts'
import { withPrefix } from '../../src/storage/layers/prefix.ts'
import { withStallLimit } from '../../src/storage/layers/stall.ts'
import { withThrottle } from '../../src/storage/layers/throttle.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { storageContract } from './storage.ts'
import type { StorageUnderTest } from './storage-support.ts'

const GIB_PER_SECOND = 1 << 30

function inMemory(layer: (storage: Storage) => Storage): () => Promise<StorageUnderTest> {
  return async () => {
    const id = crypto.randomUUID()
    return { storage: layer(openMemoryDriver('memory', id)), close: async () => dropMemory(id) }
  }
}

storageContract(
  'prefix',
  inMemory(storage => withPrefix(storage, 'some/prefix')),
)
storageContract(
  'meter',
  inMemory(storage => withMeter(storage, createMeter())),
)

storageContract(
  'copies',
  inMemory(storage =>
    withCopies([storage, ...['one', 'two'].map(name => openMemoryDriver(name, crypto.randomUUID()))]),
  ),
)

storageContract('copies of storages that answer later', async () => {
  const directories = [tempDirectory('copies'), tempDirectory('copies')]
  const [first, second] = await Promise.all(
    directories.map(({ path: root }, at) =>
      openFsDriver({ name: `disk${at}`, root, isDurable: false, mode: 'pooled' }),
    ),
  )
  return {
    storage: withCopies([first!, second!]),
    close: async () => {
      for (const directory of directories) directory.remove()
    },
  }
})

for (const mayBlock of [true, false]) {
  storageContract(
    `throttle, ${mayBlock ? 'blocking' : 'waiting'}`,
    inMemory(storage => {
      const limiter = openRateLimit(createRateLimit(GIB_PER_SECOND), { mayBlock })
      return withThrottle(storage, limiter, mayBlock)
    }),
  )
}

for (const mode of ['pooled', 'blocking'] as const) {
  storageContract(`stall limit, ${mode}`, async () => {
    const directory = tempDirectory('stall')
    const driver = await openFsDriver({ name: 'disk', root: directory.path, isDurable: false, mode })
    const storage = withStallLimit(driver, {
      timeoutMs: 60_000,
      slot: { shared: createStallSlots(1), slot: 0 },
    })
    return { storage, close: async () => directory.remove() }
  })
}

storageContract('a description with everything', async () => {
  const directory = tempDirectory('whole')
  const storage = await openStorage({
    name: 'whole',
    driver: { kind: 'fs', root: directory.path, isDurable: false },
    prefix: '/below//the/root/',
    networkLimit: createRateLimit(GIB_PER_SECOND),
    stallTimeoutMs: 60_000,
  })
  return { storage, close: async () => directory.remove() }
})
