import type { RateLimit } from '../kit/limits.ts'
import type { StallSlotDescription } from '../kit/stall-watch.ts'

/**
 * A storage as plain data: what a worker needs to open the same storage in its own thread. Built by
 * `cli/` from the settings, opened by `open-storage.ts`. Secrets may be inside: never logged.
 */
export interface StorageDescription {
  /** `default` or the failover's name. */
  readonly name: string
  readonly driver: DriverDescription
  /** Sub-folder below the driver's root (WALG_STORAGE_PREFIX); `''` for none. */
  readonly prefix: string
  /** Shared between all threads of the process, so that a limit holds for the process. */
  readonly networkLimit?: RateLimitDescription
  /** No single operation or wait for a byte lasts longer; a hung storage ends as TIMEOUT. 0 = no limit. */
  readonly stallTimeoutMs: number
  /**
   * Where this thread says that it is inside a blocking call (`kit/stall-watch.ts`): given to each worker by
   * the thread that watches them. Without it blocking calls are not bounded.
   */
  readonly stallSlot?: StallSlotDescription
}

export type DriverDescription =
  | {
      readonly kind: 'fs'
      /** Absolute path; must exist. */
      readonly root: string
      /** false only for tests and for `WALG_TAR_DISABLE_FSYNC`-like wishes: objects are then not durable. */
      readonly isDurable: boolean
      /**
       * For tests: a module whose `openFileSystem(options): FileSystem` stands between the driver and the
       * system, in every thread that opens this description.
       */
      readonly systemModule?: { readonly url: string; readonly options: unknown }
    }
  | { readonly kind: 'memory'; readonly id: string }

/** Created by `createRateLimit` (`kit/limits.ts`). */
export type RateLimitDescription = RateLimit
