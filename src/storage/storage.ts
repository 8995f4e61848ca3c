import type { Awaitable, ByteSink, ByteSource, ByteStream } from '../kit/bytes.ts'

/** What a storage can do, as data: nobody asks `instanceof`. */
export interface StorageFeatures {
  readonly ranges: boolean
  /** `put({ ifAbsent: true })` is atomic. Without it the flag is refused with FORMAT_UNSUPPORTED. */
  readonly conditionalPut: boolean
  readonly serverCopy: boolean
  /** `openSink` and `openSource` never return promises while bytes move. */
  readonly synchronous: boolean
  /** A name can be an object and the beginning of other objects' names, as in a bucket; else KEY_REFUSED. */
  readonly flatKeys?: boolean
  /** Every operation is a round trip through a network: what can be asked at once should be. */
  readonly isRemote?: boolean
  /** No wait of its own is without a bound, retries included: nobody has to put a limit of time around it. */
  readonly boundsWaits?: boolean
  /**
   * Its first operation says by itself whether the root is there, and "not there" is only said after the root has
   * answered: a process that does one thing need not call `checkRoot` first.
   */
  readonly provesRoot?: boolean
  /** The most keys that one request of `delete` names; absent: one by one. */
  readonly deleteBatchMax?: number
}

export type StorageEntry =
  | { readonly kind: 'object'; readonly key: string; readonly sizeBytes: number; readonly modifiedNs: bigint }
  | { readonly kind: 'prefix'; readonly key: string }

export interface ObjectInfo {
  readonly key: string
  readonly sizeBytes: number
  /** Nanoseconds since 1970; exact where the storage has them. */
  readonly modifiedNs: bigint
}

export interface Abortable {
  readonly signal?: AbortSignal
  /** Called now and then while long work (copy, delete, list) advances: what bounds a stall winds up its timer. */
  readonly onProgress?: () => void
}

export interface CheckRootOptions extends Abortable {
  /** For commands that write: a root that the original creates by itself (SFTP) is created. */
  readonly mayCreate?: boolean
}

export interface ListOptions extends Abortable {
  /** true: every object below the prefix, no `prefix` entries. false (default): one level. */
  readonly recursive?: boolean
}

export interface GetOptions extends Abortable {
  /**
   * Inclusive first byte, exclusive end (cut at the object's size). RANGE_INVALID when `first` is greater than
   * the size; equal to it is an empty range, as a reader that resumes may find.
   */
  readonly range?: { readonly first: number; readonly end?: number }
}

export interface PutOptions extends Abortable {
  /** OBJECT_EXISTS when the key is there; needs `features.conditionalPut`. */
  readonly ifAbsent?: boolean
  /**
   * With `ifAbsent`: a storage that finds out only when the object is to become visible that it cannot do that in one
   * step looks whether the key is there, and puts then; without this it throws FORMAT_UNSUPPORTED.
   */
  readonly mayLookFirst?: boolean
  /** Known size, when the caller has it: lets a driver choose a single request. Not a promise. */
  readonly expectedSizeBytes?: number
}

/**
 * An object being written by the hot row. `write` is synchronous where `features.synchronous`.
 * `end` = the object is complete, durable and visible; when it fails nothing remains, as after `abort`.
 * `abort` = nothing remains; idempotent, harmless after `end`, never throws
 * for an object that was never visible.
 */
export interface ObjectSink extends ByteSink {
  abort(): Awaitable<void>
}

/** The storages for which one stands. */
export interface StorageCopies {
  /** Those that can be asked, the one that is read first in front. */
  up(): readonly Storage[]
  /** True when the command may go on without this one: it is not asked any more then, and what it lacks is noted. */
  giveUp(copy: Storage, error: unknown): boolean
  /** `openSink` into some of them only; the others have the object already. */
  openSink(into: readonly Storage[], key: string, options?: PutOptions): Awaitable<ObjectSink>
  /** Notes that those which are down lack the object; durable when it returns. */
  noteGaps(key: string): void
}

/** An upload that was begun and has not ended: nothing of it can be seen, but its parts lie at the store. */
export interface UnfinishedUpload {
  readonly key: string
  readonly id: string
  readonly beganNs: bigint
}

/** The uploads that a crash leaves behind; only of storages that keep such. */
export interface UnfinishedUploads {
  /** Those whose object would lie below `prefix` (`''` = root). Some may be on their way right now. */
  list(prefix: string, options?: Abortable): AsyncIterable<UnfinishedUpload>
  /** Its parts are removed. One that has ended meanwhile is not an error. */
  abort(upload: UnfinishedUpload, options?: Abortable): Promise<void>
}

/** One version of an object, or the mark that it was deleted. */
export interface ObjectVersion {
  readonly key: string
  readonly versionId: string
  readonly isLatest: boolean
  readonly isDeleted: boolean
  readonly sizeBytes: number
  readonly modifiedNs: bigint
}

/** What a storage that keeps versions has of objects that were replaced or deleted. */
export interface ObjectVersions {
  /** Whether versions are kept at all. */
  areKept(options?: Abortable): Promise<boolean>
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectVersion>
  /** Removes these versions for good. */
  delete(versions: readonly Pick<ObjectVersion, 'key' | 'versionId'>[], options?: Abortable): Promise<void>
}

/**
 * Where bytes live. One interface for every driver and layer; each sentence is a test in
 * `test/contract/storage.ts`.
 *
 * - Keys are relative, `/`-separated, never start or end with `/`, and cannot climb out of the root:
 *   `.`/`..`/empty components and NUL are refused with KEY_REFUSED before anything is touched.
 * - Errors are WalgErrors with the key and the storage's name in `facts`.
 */
export interface Storage {
  /** `default`, or the failover's name; appears in messages and listings. */
  readonly name: string
  readonly features: StorageFeatures
  /** Where this one stands for several with the same objects (`layers/copies.ts`). */
  readonly copies?: StorageCopies
  /** Throws STORAGE_ROOT_MISSING / STORAGE_UNAVAILABLE / ACCESS_DENIED unless the root answers: the proof behind a positive "not there". */
  checkRoot(options?: CheckRootOptions): Promise<void>
  /** Entries under `prefix` (`''` = root, else without trailing `/`), any order. A prefix nobody wrote to is empty, not an error. */
  list(prefix: string, options?: ListOptions): AsyncIterable<StorageEntry>
  /** Throws OBJECT_NOT_FOUND. Never lists. */
  stat(key: string, options?: Abortable): Promise<ObjectInfo>
  /** Throws OBJECT_NOT_FOUND before the first byte. */
  get(key: string, options?: GetOptions): Promise<ByteStream>
  /** All or nothing and durable: a reader sees the old object or the whole new one; a failed or aborted put leaves nothing. Overwrites. An error thrown by the body reaches the caller intact. */
  put(key: string, body: ByteStream, options?: PutOptions): Promise<void>
  /** Server-side where it can. Throws OBJECT_NOT_FOUND. */
  copy(source: string, target: string, options?: Abortable): Promise<void>
  /** Missing keys are not an error. Never removes anything but the named objects. */
  delete(keys: readonly string[], options?: Abortable): Promise<void>
  /** The push door of the hot row, with the promises of `put`. */
  openSink(key: string, options?: PutOptions): Awaitable<ObjectSink>
  /** The pull door of the hot row, with the promises of `get`. */
  openSource(key: string, options?: GetOptions): Awaitable<ByteSource>
  /** Idempotent. Use after close throws STORAGE_UNAVAILABLE. */
  close(): Promise<void>
  readonly unfinishedUploads?: UnfinishedUploads
  readonly versions?: ObjectVersions
}
