import type { ByteStream } from '../kit/bytes.ts'

/** Content manifest of our own (`docs/FORMAT.md`): JSON lines, sealed like a part, beside `tar_partitions/`. */
export interface ManifestHeader {
  /** 1. */
  readonly version: number
  readonly backup: string
  /** `xxh3-128`. */
  readonly hashAlgorithm: string
}

/** One stored object. `key` is relative to `<BACKUP>/`; size and hash are of the stored bytes. */
export interface ManifestObject {
  readonly key: string
  readonly sizeBytes: number
  /** Lower-case hex. */
  readonly hash: string
}

/** One regular member; size and hash are of the content as it stands in the tar (an increment as increment). */
export interface ManifestFile {
  readonly name: string
  /** Key of its object, relative to `<BACKUP>/`. */
  readonly object: string
  readonly sizeBytes: number
  readonly hash: string
}

/** Manifest in columns. */
export declare class ContentManifest {
  readonly header: ManifestHeader
  readonly objects: ReadonlyMap<string, ManifestObject>
  readonly filesCount: number
  constructor(header: ManifestHeader)
  addObject(object: ManifestObject): void
  addFile(file: ManifestFile): void
  /** Index of the file with this name in this object, or -1 (a name may be in two objects of a foreign backup). */
  find(name: string, object: string): number
  findBytes(name: Uint8Array, object: string): number
  file(index: number): ManifestFile
  files(): Generator<ManifestFile>
  /** Indexes of the files of one object. */
  filesOf(object: string): Generator<number>
}

/** Streamed lines; `codec.sealStream('part')` goes behind it. */
export declare function encodeContentManifest(manifest: ContentManifest): AsyncGenerator<Uint8Array>
/** Reads the opened lines. Throws BACKUP_BROKEN naming `key` when it is cut, inconsistent or of an unknown version. */
export declare function decodeContentManifest(key: string, lines: ByteStream): Promise<ContentManifest>
