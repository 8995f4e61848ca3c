import type { Codec } from '../../../codec/codec.ts'
import { WalgError } from '../../../kit/errors.ts'
import type { BackupName } from '../../../repository/backup-name.ts'
import type { ChainBackup } from '../../../repository/chain.ts'
import { filesMetadataKey } from '../../../repository/layout.ts'
import { readLinkedManifest } from '../../../repository/linked-manifest.ts'
import type { ManifestObject, ManifestSink, ScannedManifestFile } from '../../../repository/manifest.ts'
import type { Abortable, Storage } from '../../../storage/storage.ts'
import type { ExpectationsData } from '../part/part-protocol.ts'
import type { MemberTable } from './member-table.ts'

const HASH_BYTES = 16
const decoder = new TextDecoder()

/**
 * What names mean that the table has not. `add`: the backup has no other list of its files. `all known`: it has one,
 * so one of the two is of another backup, and that is damage. `some`: of a parent not every file is wanted.
 */
export type ContentNames = 'add' | 'all known' | 'some'

/** The content manifest of one backup, laid out by rows of the table in shared memory, for the workers. */
export class ExpectedContent implements ManifestSink {
  readonly #table: MemberTable
  readonly #names: ContentNames
  #unlisted: string | undefined
  readonly #objects = new Map<string, ManifestObject & { readonly number: number }>()
  #hashes: Uint8Array<SharedArrayBuffer> = new Uint8Array(new SharedArrayBuffer(0))
  #sizes: Float64Array<SharedArrayBuffer> = new Float64Array(new SharedArrayBuffer(0))
  #numbers: Uint32Array<SharedArrayBuffer> = new Uint32Array(new SharedArrayBuffer(0))

  constructor(table: MemberTable, names: ContentNames) {
    this.#table = table
    this.#names = names
    this.#reserve(Math.max(1, table.count))
  }

  get data(): ExpectationsData {
    return { hashes: this.#hashes.buffer, sizes: this.#sizes.buffer, objects: this.#numbers.buffer }
  }

  /** Keys are relative to `<BACKUP>/`, numbers from 1. */
  get objects(): ReadonlyMap<string, ManifestObject & { readonly number: number }> {
    return this.#objects
  }

  /** The first file that a complete list would have; the manifest must be proved to be the backup's own before it is held against that list. */
  get unlisted(): string | undefined {
    return this.#unlisted
  }

  has(row: number): boolean {
    return row >= 0 && row < this.#numbers.length && this.#numbers[row] !== 0
  }

  takeObject(object: ManifestObject): void {
    this.#objects.set(object.key, { ...object, number: this.#objects.size + 1 })
  }

  takeFile(file: ScannedManifestFile): void {
    const { bytes, nameFrom, nameTo } = file
    const row = this.#table.findSlice(bytes, nameFrom, nameTo, this.#names === 'add')
    if (row < 0) {
      if (this.#names === 'all known') this.#unlisted ??= decoder.decode(bytes.subarray(nameFrom, nameTo))
      return
    }
    this.#reserve(row + 1)
    if (this.#numbers[row] !== 0) {
      throw new WalgError('FORMAT_INVALID', `"${this.#table.name(row)}" is listed twice`)
    }
    this.#hashes.set(file.hash, row * HASH_BYTES)
    this.#sizes[row] = file.sizeBytes
    this.#numbers[row] = file.object + 1
  }

  #reserve(count: number): void {
    if (count <= this.#numbers.length) return
    const length = Math.max(count, 2 * this.#numbers.length)
    const [hashes, sizes, numbers] = [this.#hashes, this.#sizes, this.#numbers]
    this.#hashes = new Uint8Array(new SharedArrayBuffer(length * HASH_BYTES))
    this.#sizes = new Float64Array(new SharedArrayBuffer(length * 8))
    this.#numbers = new Uint32Array(new SharedArrayBuffer(length * 4))
    this.#hashes.set(hashes)
    this.#sizes.set(sizes)
    this.#numbers.set(numbers)
  }
}

export interface ReadExpectedContentOptions extends Abortable {
  readonly table: MemberTable
  readonly names: ContentNames
}

/**
 * Reads the content manifest that the sentinel promises; null when it promises none. Throws BACKUP_BROKEN when it is
 * missing, damaged or another one, or when the list of files lacks a file that it has.
 */
export async function readExpectedContent(
  storage: Storage,
  codec: Codec,
  backup: ChainBackup,
  options: ReadExpectedContentOptions,
): Promise<ExpectedContent | null> {
  const link = backup.document.sentinel.contentManifest
  if (link === null) return null
  const content = new ExpectedContent(options.table, options.names)
  await readLinkedManifest({ storage, codec, backup: backup.name, link, ...options }, () => content)
  if (content.unlisted !== undefined) throw brokenList(backup.name, content.unlisted)
  return content
}

function brokenList(backup: BackupName, file: string): WalgError {
  const key = filesMetadataKey(backup)
  return new WalgError(
    'BACKUP_BROKEN',
    `"${key}" does not list "${file}", which the backup has: it is damaged, or of another backup`,
    { facts: { key, file }, hint: 'restore another backup' },
  )
}
