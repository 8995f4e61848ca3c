import type { CodecDescription } from '../../src/codec/codec.ts'
import { openCodec } from '../../src/codec/open-codec.ts'
import { createLogger, type LogLevel } from '../../src/kit/log.ts'
import { silentProgress } from '../../src/kit/progress.ts'
import type { OperationContext } from '../../src/operations/context.ts'
import type { StorageDescription } from '../../src/storage/description.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'

export interface TestContext extends OperationContext {
  /** `LEVEL: message`, in order. */
  readonly messages: string[]
  readonly abort: AbortController
}

/** A context as `cli/` builds it, over a directory, with everything that was logged. */
export async function operationContext(
  root: string,
  options: {
    readonly codec?: CodecDescription
    /** Wraps the storage, to make it fail. */
    readonly wrap?: (storage: Storage) => Storage
  } = {},
): Promise<TestContext> {
  const storageDescription: StorageDescription = {
    name: 'default',
    driver: { kind: 'fs', root, isDurable: false },
    prefix: '',
    stallTimeoutMs: 60_000,
  }
  const codecDescription = options.codec ?? { compression: 'lz4' }
  const storage = await openStorage(storageDescription)
  const messages: string[] = []
  const abort = new AbortController()
  return {
    storage: options.wrap?.(storage) ?? storage,
    storageDescription,
    codec: openCodec(codecDescription),
    codecDescription,
    log: createLogger((level: LogLevel, message: string) => void messages.push(`${level}: ${message}`)),
    progress: silentProgress,
    signal: abort.signal,
    messages,
    abort,
  }
}
