import type { FilesMetadata } from '../../../repository/files-metadata.ts'
import type { ManifestObject, ManifestSink, ScannedManifestFile } from '../../../repository/manifest.ts'

const HASH_BYTES = 16

/**
 * Which part of an earlier backup holds which file, with its size and hash, in columns over the rows of its list of files: about 28
 * bytes for a file.
 */
export class SourceParts implements ManifestSink {
  readonly #files: FilesMetadata
  /** Number of the part, plus 1; 0: not known. */
  readonly #parts: Uint32Array
  readonly #sizes: Float64Array
  readonly #hashes: BigUint64Array
  readonly #counts: number[] = []
  readonly #spoiled = new Set<number>()
  readonly objects: ManifestObject[] = []

  constructor(files: FilesMetadata) {
    this.#files = files
    this.#parts = new Uint32Array(files.indexEnd)
    this.#sizes = new Float64Array(files.indexEnd)
    this.#hashes = new BigUint64Array(files.indexEnd * 2)
  }

  takeObject(object: ManifestObject): void {
    this.objects.push(object)
  }

  takeFile(file: ScannedManifestFile): void {
    const { object, hash } = file
    this.#counts[object] = this.filesCount(object) + 1
    const row = this.#files.findBytes(file.bytes.subarray(file.nameFrom, file.nameTo))
    // an increment, a name that nothing tells the time of, or one that stands twice
    if (file.fileSizeBytes >= 0 || row < 0 || this.#parts[row] !== 0 || hash.length !== HASH_BYTES) {
      this.#spoiled.add(object)
      if (row >= 0 && this.#parts[row] !== 0) this.#spoiled.add(this.#parts[row]! - 1)
      return
    }
    const view = new DataView(hash.buffer, hash.byteOffset, HASH_BYTES)
    this.#parts[row] = object + 1
    this.#sizes[row] = file.sizeBytes
    this.#hashes[row * 2] = view.getBigUint64(0)
    this.#hashes[row * 2 + 1] = view.getBigUint64(8)
  }

  /** Members that the manifest names in a part. */
  filesCount(part: number): number {
    return this.#counts[part] ?? 0
  }

  /** False for a part with members that a full backup of plain files does not have. */
  isPlain(part: number): boolean {
    return !this.#spoiled.has(part)
  }

  /** Number of the part that holds a file; undefined when that is not known. */
  partOf(row: number): number | undefined {
    const part = this.#parts[row]!
    return part === 0 ? undefined : part - 1
  }

  sizeBytes(row: number): number {
    return this.#sizes[row]!
  }

  hashHalf(row: number, half: 0 | 1): bigint {
    return this.#hashes[row * 2 + half]!
  }
}
