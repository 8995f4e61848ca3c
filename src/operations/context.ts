import type { Codec, CodecDescription } from '../codec/codec.ts'
import type { Logger } from '../kit/log.ts'
import type { Progress } from '../kit/progress.ts'
import type { StorageDescription } from '../storage/description.ts'
import type { Storage } from '../storage/storage.ts'

/** What every operation is given. Operations return values and throw coded errors; they never print or exit. */
export interface OperationContext {
  readonly storage: Storage
  /** For threads that open the same storage themselves. */
  readonly storageDescription: StorageDescription
  readonly codec: Codec
  readonly codecDescription: CodecDescription
  readonly log: Logger
  readonly progress: Progress
  readonly signal: AbortSignal
}
