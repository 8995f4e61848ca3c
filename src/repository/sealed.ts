import type { Codec } from '../codec/codec.ts'
import type { ByteStream } from '../kit/bytes.ts'
import type { Abortable, ObjectInfo, Storage } from '../storage/storage.ts'

/** Where a payload lies and how it is compressed. */
export interface FoundPayload {
  readonly key: string
  /** For `codec.open`: `lz4`, …; `''` for the bare and the dangling-dot form. */
  readonly extension: string
  readonly info: ObjectInfo
}

export interface FindOptions extends Abortable {
  /** The extension to try first (own setting, or the one that hit last time). */
  readonly firstExtension?: string
}

/**
 * Finds `name` whatever its compression, in the original's lookup order, one `stat` per candidate; null when no
 * form exists (combine with `storage.checkRoot` before calling that a positive "not there").
 */
export declare function findPayload(
  storage: Storage,
  name: string,
  options?: FindOptions,
): Promise<FoundPayload | null>
/** Finds and opens; the stream is decrypted, decompressed. Throws OBJECT_NOT_FOUND naming `name`. */
export declare function openPayload(
  storage: Storage,
  codec: Codec,
  name: string,
  options?: FindOptions,
): Promise<ByteStream>
/** The whole payload; FORMAT_INVALID beyond `limitBytes`. */
export declare function readPayload(
  storage: Storage,
  codec: Codec,
  name: string,
  limitBytes: number,
  options?: FindOptions,
): Promise<Uint8Array>
/** Seals `body` and puts it as `name` + the codec's extension; returns the key. */
export declare function putSealed(
  storage: Storage,
  codec: Codec,
  name: string,
  body: ByteStream,
  options?: Abortable,
): Promise<string>
