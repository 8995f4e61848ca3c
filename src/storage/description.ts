import type { MemoryBudget, RateLimit } from '../kit/limits.ts'
import type { StallSlotDescription } from '../kit/stall-watch.ts'
import type { AzureDescription } from './drivers/azure/description.ts'
import type { FsDescription } from './drivers/fs/description.ts'
import type { GcsDescription } from './drivers/gcs/description.ts'
import type { MemoryDescription } from './drivers/memory/description.ts'
import type { OssDescription } from './drivers/oss/description.ts'
import type { S3Description } from './drivers/s3/description.ts'
import type { SftpDescription } from './drivers/sftp/description.ts'
import type { SwiftDescription } from './drivers/swift/description.ts'

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
  /** What users call `from` lies in the folder `to`: one layout in two places of a storage. */
  readonly renamed?: RenamedFolder
  /** Shared between all threads of the process, so that a limit holds for the process. */
  readonly networkLimit?: RateLimitDescription
  /** Shared likewise: what network storages hold of bytes in flight (WALG_MEMORY_LIMIT). */
  readonly memoryBudget?: MemoryBudget
  /** No single operation or wait for a byte lasts longer; a hung storage ends as TIMEOUT. 0 = no limit. */
  readonly stallTimeoutMs: number
  /**
   * Where this thread says that it is inside a blocking call (`kit/stall-watch.ts`): given to each worker by
   * the thread that watches them. Without it blocking calls are not bounded.
   */
  readonly stallSlot?: StallSlotDescription
  /** Further storages with the same objects. */
  readonly copies?: CopiesDescription
}

/** Two folders directly below the storage's own prefix. */
export interface RenamedFolder {
  readonly from: string
  readonly to: string
}

/** Storages that are read where the first one fails and, with `mirrors`, are written to with it. */
export interface CopiesDescription {
  readonly storages: readonly StorageDescription[]
  /** Absent: every one of them must do what it is asked. */
  readonly mirrors?: MirrorsDescription
}

/** Mirrors whose failure does not fail a command. */
export interface MirrorsDescription {
  /** One word for each, shared between all threads: not 0 = it failed. */
  readonly outages: SharedArrayBuffer
  /** Files in which is noted what each of them lacks. */
  readonly gapFiles: readonly string[]
}

/** One member per kind of storage. */
export type DriverDescription =
  | FsDescription
  | MemoryDescription
  | S3Description
  | GcsDescription
  | AzureDescription
  | SwiftDescription
  | SftpDescription
  | OssDescription

/** Created by `createRateLimit` (`kit/limits.ts`). */
export type RateLimitDescription = RateLimit
