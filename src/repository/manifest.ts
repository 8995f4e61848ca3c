import type { DatabaseRows } from '../postgres/cluster/cluster-facts.ts'
import { grown, NameTable } from './name-table.ts'

/** Content manifest of our own (`docs/FORMAT.md`): JSON lines, sealed like a part, beside `tar_partitions/`. */
export interface ManifestHeader {
  readonly backup: string
  /** `xxh3-128`. */
  readonly hashAlgorithm: string
  /**
   * What was last written before this moment, by the clock of the file system, lies in the backup (and what that hangs on) as it
   * stayed. Absent in manifests that do not say.
   */
  readonly walkedNs?: bigint
  /**
   * Databases that were complete before the backup began, by oid: the files of another one may have been in the making. Their `xmin`
   * is absent in manifests that do not say. Absent when no server was asked.
   */
  readonly databases?: DatabaseRows
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
  /** Of an increment: size of the whole file. */
  readonly fileSizeBytes?: number
  /**
   * Of a file of pages, unless its size says the same: from here on it is zero, or at its end, and so is each older file of the chain
   * that an increment lies upon; so it may be more than the size.
   */
  readonly usedBytes?: number
  /** Of such a file, and all that it lies upon: runs of zero blocks before that, first block and count of each. */
  readonly zeroes?: Uint32Array | undefined
}

/** A file of pages that is the parent's: no part holds it. What the next delta wants to know of it. */
export interface KeptFile {
  readonly name: string
  readonly sizeBytes: number
  readonly usedBytes?: number
  readonly zeroes?: Uint32Array | undefined
}

/** What the encoder needs; `ContentManifest` is one, a push may offer its own columns. */
export interface ManifestSource {
  readonly header: ManifestHeader
  readonly filesCount: number
  objects(): Iterable<ManifestObject>
  files(): Iterable<ManifestFile>
  kept?(): Iterable<KeptFile>
}

/** A file as it is found in a document, reused for the next one. */
export interface ScannedManifestFile {
  /** The name is the UTF-8 of `bytes[nameFrom … nameTo)`. */
  bytes: Uint8Array
  nameFrom: number
  nameTo: number
  /** Number of its object, in the order of the document from 0. */
  object: number
  sizeBytes: number
  /** The hash as bytes. */
  hash: Uint8Array
  /** -1: not said. */
  fileSizeBytes: number
  /** -1: not said. */
  usedBytes: number
  /** Undefined: not said. */
  zeroes: Uint32Array | undefined
}

/** Takes the records of a manifest in the order of the document; objects come before files. */
export interface ManifestSink {
  takeObject(object: ManifestObject): void
  takeFile(file: ScannedManifestFile): void
  /** `name`, `sizeBytes` and `usedBytes` are those of a file that is the parent's. */
  takeKept?(file: ScannedManifestFile): void
}

const NONE = -1

/** A manifest in columns: about 45 bytes per file beside its name. */
export class ContentManifest implements ManifestSource, ManifestSink {
  readonly header: ManifestHeader
  readonly #names: NameTable
  readonly #objects: ManifestObject[] = []
  readonly #objectNumbers = new Map<string, number>()
  #nameOf: Uint32Array = new Uint32Array(16)
  #objectOf: Uint32Array = new Uint32Array(16)
  #sizes: Float64Array = new Float64Array(16)
  #hashes: Uint8Array = new Uint8Array(0)
  #hashBytes = 0
  /** First file of a name, and the next file with the same name. */
  #firstOfName: Int32Array = new Int32Array(16).fill(NONE)
  #nextOfName: Int32Array = new Int32Array(16)
  #filesCount = 0

  /** `names` may be the table of a `FilesMetadata`, so that names are held once. */
  constructor(header: ManifestHeader, names: NameTable = new NameTable()) {
    this.header = header
    this.#names = names
  }

  get filesCount(): number {
    return this.#filesCount
  }

  get objectsCount(): number {
    return this.#objects.length
  }

  addObject(object: ManifestObject): void {
    const known = this.#objectNumbers.get(object.key)
    if (known !== undefined) this.#objects[known] = object
    else {
      this.#objectNumbers.set(object.key, this.#objects.length)
      this.#objects.push(object)
    }
  }

  takeObject(object: ManifestObject): void {
    this.addObject(object)
  }

  /** The object must have been added; all hashes have the same length. Throws RangeError otherwise. */
  addFile(file: ManifestFile): void {
    const object = this.#objectNumbers.get(file.object)
    if (object === undefined) throw new RangeError(`unknown object "${file.object}"`)
    this.#add(this.#names.add(file.name), object, file.sizeBytes, Uint8Array.fromHex(file.hash))
  }

  takeFile(file: ScannedManifestFile): void {
    const name = this.#names.addSlice(file.bytes, file.nameFrom, file.nameTo)
    this.#add(name, file.object, file.sizeBytes, file.hash)
  }

  #add(name: number, object: number, sizeBytes: number, hash: Uint8Array): void {
    const index = this.#filesCount
    this.#reserve(index, hash.length)
    if (hash.length !== this.#hashBytes) throw new RangeError('the hashes have different lengths')
    this.#nameOf[index] = name
    this.#objectOf[index] = object
    this.#sizes[index] = sizeBytes
    this.#hashes.set(hash, index * this.#hashBytes)
    while (name >= this.#firstOfName.length) {
      const longer = new Int32Array(2 * this.#firstOfName.length).fill(NONE)
      longer.set(this.#firstOfName)
      this.#firstOfName = longer
    }
    this.#nextOfName[index] = this.#firstOfName[name]!
    this.#firstOfName[name] = index
    this.#filesCount = index + 1
  }

  object(key: string): ManifestObject | undefined {
    const number = this.#objectNumbers.get(key)
    return number === undefined ? undefined : this.#objects[number]
  }

  objects(): readonly ManifestObject[] {
    return this.#objects
  }

  /** Index of the file with this name in this object, or -1 (a name may stand in several objects). */
  find(name: string, object: string): number {
    return this.#findNamed(this.#names.find(name), object)
  }

  /** The same for the UTF-8 bytes of a tar header. */
  findBytes(name: Uint8Array, object: string): number {
    return this.#findNamed(this.#names.findBytes(name), object)
  }

  file(index: number): ManifestFile {
    return {
      name: this.#names.at(this.#nameOf[index]!),
      object: this.#objects[this.#objectOf[index]!]!.key,
      sizeBytes: this.#sizes[index]!,
      hash: this.hash(index),
    }
  }

  sizeBytes(index: number): number {
    return this.#sizes[index]!
  }

  /** Lower-case hex. */
  hash(index: number): string {
    const at = index * this.#hashBytes
    return this.#hashes.subarray(at, at + this.#hashBytes).toHex()
  }

  /** All files in the order of adding. */
  *files(): Generator<ManifestFile> {
    for (let index = 0; index < this.#filesCount; index += 1) yield this.file(index)
  }

  /** Indexes of the files of one object. */
  *filesOf(object: string): Generator<number> {
    const number = this.#objectNumbers.get(object)
    for (let index = 0; index < this.#filesCount; index += 1)
      if (this.#objectOf[index] === number) yield index
  }

  #findNamed(name: number, object: string): number {
    const number = this.#objectNumbers.get(object)
    if (name < 0 || name >= this.#firstOfName.length || number === undefined) return NONE
    let index = this.#firstOfName[name]!
    while (index !== NONE && this.#objectOf[index] !== number) index = this.#nextOfName[index]!
    return index
  }

  #reserve(index: number, hashBytes: number): void {
    if (index === 0) {
      this.#hashBytes = hashBytes
      this.#hashes = new Uint8Array(this.#nameOf.length * hashBytes)
    }
    if (index < this.#nameOf.length) return
    this.#nameOf = grown(this.#nameOf)
    this.#objectOf = grown(this.#objectOf)
    this.#sizes = grown(this.#sizes)
    this.#hashes = grown(this.#hashes)
    this.#nextOfName = grown(this.#nextOfName)
  }
}
