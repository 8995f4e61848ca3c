import { withDeadline } from '../kit/deadline.ts'
import type { WalgError } from '../kit/errors.ts'
import type { FileSystem } from '../kit/file-system.ts'
import { openRateLimit } from '../kit/limits.ts'
import { createStallSlots, watchStalls } from '../kit/stall-watch.ts'
import { isWorkerThread } from '../kit/thread.ts'
import type { StorageDescription } from './description.ts'
import type { FsDescription } from './drivers/fs/description.ts'
import { normalizePrefix } from './keys.ts'
import { stallError, withStallLimit } from './layers/stall.ts'
import type { Storage } from './storage.ts'

/**
 * Opens what the description says, with its layers, in this thread: driver, stall limit, rate limit, prefix. Throws
 * STORAGE_ROOT_MISSING or ACCESS_DENIED when the root does not answer. Drivers are loaded when they are needed.
 */
export async function openStorage(description: StorageDescription): Promise<Storage> {
  const { copies } = description
  if (copies === undefined) return openOne(description)
  const { openCopies } = await import('./failover/open-copies.ts')
  return openCopies(description, copies, openOne)
}

async function openOne(description: StorageDescription): Promise<Storage> {
  const timeoutMs = description.stallTimeoutMs
  const driver = await withDeadline(openDriver(description), {
    timeoutMs: timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs,
    onTimeout: () =>
      stallError(`open storage "${description.name}"`, timeoutMs, { storage: description.name }),
  })
  const { stallSlot, networkLimit } = description
  let storage = driver
  if (driver.features.boundsWaits !== true) {
    storage = withStallLimit(driver, {
      timeoutMs,
      ...(stallSlot === undefined ? {} : { slot: stallSlot }),
    })
  }
  if (networkLimit !== undefined) {
    const { withThrottle } = await import('./layers/throttle.ts')
    storage = withThrottle(storage, openRateLimit(networkLimit), isWorkerThread())
  }
  const prefix = normalizePrefix(description.prefix)
  if (prefix !== '') {
    const { withPrefix } = await import('./layers/prefix.ts')
    storage = withPrefix(storage, prefix)
  }
  if (description.renamed === undefined) return storage
  const { withRenamedFolder } = await import('./layers/renamed-folder.ts')
  return withRenamedFolder(storage, description.renamed)
}

/** Only the driver of the chosen kind is loaded. */
async function openDriver(description: StorageDescription): Promise<Storage> {
  const { name, driver, stallTimeoutMs, memoryBudget } = description
  switch (driver.kind) {
    case 'memory': {
      const { openMemoryDriver } = await import('./drivers/memory.ts')
      return openMemoryDriver(name, driver.id)
    }
    case 'fs': {
      const { openFsDriver } = await import('./drivers/fs.ts')
      const system = await loadSystem(driver)
      return openFsDriver({ name, ...driver, ...(system === undefined ? {} : { system }) })
    }
    case 's3': {
      const { openS3Driver } = await import('./drivers/s3/driver.ts')
      return openS3Driver({ name, description: driver, stallTimeoutMs, memoryBudget })
    }
    case 'gcs': {
      const { openGcsDriver } = await import('./drivers/gcs/driver.ts')
      return openGcsDriver({ name, description: driver, stallTimeoutMs, memoryBudget })
    }
    case 'azure': {
      const { openAzureDriver } = await import('./drivers/azure/driver.ts')
      return openAzureDriver({ name, description: driver, stallTimeoutMs, memoryBudget })
    }
    case 'swift': {
      const { openSwiftDriver } = await import('./drivers/swift/driver.ts')
      return openSwiftDriver({ name, ...driver, stallTimeoutMs, memoryBudget })
    }
    case 'sftp': {
      const { openSftpDriver } = await import('./drivers/sftp/driver.ts')
      return openSftpDriver(name, driver)
    }
    case 'oss': {
      const { openOssDriver } = await import('./drivers/oss/driver.ts')
      return openOssDriver({ name, ...driver, stallTimeoutMs, memoryBudget })
    }
  }
}

async function loadSystem(driver: FsDescription): Promise<FileSystem | undefined> {
  if (driver.systemModule === undefined) return undefined
  const module = (await import(driver.systemModule.url)) as SystemModule
  return module.openFileSystem(driver.systemModule.options)
}

/** What a description's `systemModule` exports. */
export interface SystemModule {
  openFileSystem(options: unknown): FileSystem
}

/** Descriptions for workers whose blocking calls are watched from here. */
export interface StorageStallWatch {
  /** The description for worker `index`. */
  describe(index: number): StorageDescription
  /** Rejects with TIMEOUT when a worker hangs in a call to the storage; never resolves. Race the workers with it. */
  readonly stalled: Promise<never>
  /** Ends the watch; idempotent. */
  close(): void
}

/**
 * Watches the blocking storage calls of `workers` threads, which they cannot bound themselves. A worker that hangs
 * cannot be interrupted: the operation fails, and the process ends with it.
 */
export function watchStorageStalls(description: StorageDescription, workers: number): StorageStallWatch {
  const shared = createStallSlots(workers)
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => {})
  const timeoutMs = description.stallTimeoutMs
  const onStall = (what: string): void => {
    const error: WalgError = stallError(what, timeoutMs, { storage: description.name })
    reject(error)
  }
  const close = timeoutMs === 0 ? () => {} : watchStalls(shared, { timeoutMs, onStall })
  return {
    describe: index => ({ ...description, stallSlot: { shared, slot: index } }),
    stalled: promise,
    close,
  }
}
