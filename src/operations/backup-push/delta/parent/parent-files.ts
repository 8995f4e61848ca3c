import type { ParentFile } from '../../../../delta/page-selection.ts'
import type { ZeroRuns } from '../../../../delta/zero-runs.ts'
import { collect } from '../../../../kit/bytes.ts'
import { WalgError } from '../../../../kit/errors.ts'
import { epochNs } from '../../../../kit/timestamp.ts'
import type { DatabaseRows } from '../../../../postgres/cluster/cluster-facts.ts'
import { type ControlFile, parseControlFile } from '../../../../postgres/control-file.ts'
import { readFilesMetadata } from '../../../../repository/catalog.ts'
import type { FilesMetadata } from '../../../../repository/files-metadata.ts'
import { isLatePart, isPgControlPart, partExtension, partsPrefix } from '../../../../repository/layout.ts'
import { readLinkedManifest } from '../../../../repository/linked-manifest.ts'
import type {
  ManifestHeader,
  ManifestObject,
  ManifestSink,
  ScannedManifestFile,
} from '../../../../repository/manifest.ts'
import { createTarReader } from '../../../../tar/unpack.ts'
import type { OperationContext } from '../../../context.ts'
import { SourceParts } from '../../copy/source-parts.ts'
import type { ParentBackup } from './choose-parent.ts'

/** What is known of the files of the parent backup. */
export interface ParentFiles {
  readonly files: FilesMetadata
  readonly sizes: ParentSizes
  /** Every file of it is whole. */
  readonly isFull: boolean
  /** Undefined unless asked for, and for a parent without a content manifest. */
  readonly parts: SourceParts | undefined
  /**
   * A file that was last touched before this moment, by the clock of the file system, was recorded as it stayed; undefined when
   * nothing is known.
   */
  readonly settledNs: bigint | undefined
  /** Databases that were complete before it began; undefined when it does not tell. */
  readonly databases: DatabaseRows | undefined
  /** `pg_control` as the parent has it. */
  readonly control: ControlFile
}

/** The original reads a clock of the host; it may differ a little from that of the file system. */
const FOREIGN_CLOCK_SLACK_NS = 2_000_000_000n
/** Header, pg_control and the end of the archive, and some air. */
const CONTROL_TAR_BYTES_MAX = 1 << 20

/** Sizes of the parent's files in blocks, in columns over the rows of its list of files. */
export class ParentSizes implements ManifestSink {
  readonly #files: FilesMetadata
  readonly #pageBytes: number
  /** Plus 1; 0: not known. */
  readonly #blocks: Uint32Array
  readonly #used: Uint32Array
  readonly #zeroes = new Map<number, ZeroRuns>()
  readonly objects: ManifestObject[] = []
  walkedNs: bigint | undefined
  databases: DatabaseRows | undefined

  constructor(files: FilesMetadata, pageBytes: number) {
    this.#files = files
    this.#pageBytes = pageBytes
    this.#blocks = new Uint32Array(files.indexEnd)
    this.#used = new Uint32Array(files.indexEnd)
  }

  takeObject(object: ManifestObject): void {
    this.objects.push(object)
  }

  takeFile(file: ScannedManifestFile): void {
    this.#take(file, file.fileSizeBytes < 0 ? file.sizeBytes : file.fileSizeBytes)
  }

  takeKept(file: ScannedManifestFile): void {
    this.#take(file, file.sizeBytes)
  }

  /** Undefined when it is not known, or not made of whole pages. */
  at(index: number): ParentFile | undefined {
    const blocks = this.#blocks[index]!
    if (blocks === 0) return undefined
    return { blocks: blocks - 1, usedBlocks: this.#used[index]!, zeroes: this.#zeroes.get(index) }
  }

  #take(file: ScannedManifestFile, sizeBytes: number): void {
    const index = this.#files.findBytes(file.bytes.subarray(file.nameFrom, file.nameTo))
    if (index < 0 || sizeBytes % this.#pageBytes !== 0) return
    const blocks = sizeBytes / this.#pageBytes
    this.#blocks[index] = blocks + 1
    this.#used[index] = file.usedBytes < 0 ? blocks : Math.ceil(file.usedBytes / this.#pageBytes)
    if (file.zeroes !== undefined) this.#zeroes.set(index, file.zeroes)
  }
}

/**
 * Reads the parent's list of files, its content manifest if it has one, and its pg_control, and looks whether its parts are
 * there; with `hasParts` also which part holds which file. Null when it was taken without a list of files. Throws BACKUP_BROKEN, DECRYPT_FAILED and the like when it cannot be
 * read: nothing should be built on it then.
 */
export async function readParentFiles(
  context: OperationContext,
  parent: ParentBackup,
  pageBytes: number,
  hasParts = false,
): Promise<ParentFiles | null> {
  const { storage, log } = context
  const { document } = parent.chain[0]!
  const stored = await listParts(context, parent)
  const [control, files] = await Promise.all([
    readParentControl(context, parent, stored),
    readFilesMetadata(storage, parent.name, document, context),
  ])
  if (files === null || document.sentinel.isFilesMetadataDisabled) {
    log.info('Files metadata tracking was disabled, skipping the download of files_metadata.json')
    return null
  }
  const sizes = new ParentSizes(files, pageBytes)
  const link = document.sentinel.contentManifest
  const parts = hasParts && link !== null ? new SourceParts(files) : undefined
  if (link === null) checkListed(parent, files, stored)
  else {
    const open = (header: ManifestHeader): ManifestSink => {
      sizes.walkedNs = header.walkedNs
      sizes.databases = header.databases
      return parts === undefined ? sizes : both(sizes, parts)
    }
    const { codec, signal } = context
    await readLinkedManifest({ storage, codec, backup: parent.name, link, signal }, open)
    checkObjects(parent, sizes.objects, stored)
  }
  const settledNs = sizes.walkedNs ?? foreignStart(parent)
  const { databases } = sizes
  return { files, sizes, isFull: document.sentinel.delta === null, parts, settledNs, databases, control }
}

function both(first: Required<ManifestSink>, second: ManifestSink): ManifestSink {
  return {
    takeObject: object => {
      first.takeObject(object)
      second.takeObject(object)
    },
    takeFile: file => {
      first.takeFile(file)
      second.takeFile(file)
    },
    takeKept: file => first.takeKept(file),
  }
}

/** True for a failure to read the parent that a full backup is the answer to. */
export function isUnreadable(error: unknown): error is WalgError {
  return (
    error instanceof WalgError &&
    /^(BACKUP_|CHAIN_|FORMAT_|CHECKSUM_|DECRYPT_|KEY_|OBJECT_NOT_FOUND|VERSION_)/.test(error.code)
  )
}

function foreignStart({ chain, metadata }: ParentBackup): bigint | undefined {
  const start = chain[0]!.document.sentinel.startTime ?? metadata.startTime
  return epochNs(start) - FOREIGN_CLOCK_SLACK_NS
}

/** Stored bytes by the name of the part. */
async function listParts(
  { storage, signal }: OperationContext,
  { name }: ParentBackup,
): Promise<ReadonlyMap<string, number>> {
  const prefix = partsPrefix(name)
  const parts = new Map<string, number>()
  for await (const entry of storage.list(prefix, { signal })) {
    if (entry.kind === 'object') parts.set(entry.key.slice(prefix.length + 1), entry.sizeBytes)
  }
  return parts
}

function checkObjects(
  parent: ParentBackup,
  objects: readonly ManifestObject[],
  stored: ReadonlyMap<string, number>,
): void {
  for (const { key, sizeBytes } of objects) {
    const part = key.slice(key.lastIndexOf('/') + 1)
    if (stored.get(part) !== sizeBytes) throw missingPart(parent, part)
  }
}

function checkListed(parent: ParentBackup, files: FilesMetadata, stored: ReadonlyMap<string, number>): void {
  const missing = findMissingPart(files, part => stored.has(part))
  if (missing !== undefined) throw missingPart(parent, missing)
}

/** A part that the list of files names and that is not there. */
export function findMissingPart(
  files: FilesMetadata,
  isStored: (part: string) => boolean,
): string | undefined {
  for (const part of files.partNames()) {
    if (isStored(part) || isLatePart(part)) continue
    // the original lists parts that never came to be, but only for files that are not in `Files`
    for (const member of files.partMembers(part)) {
      const index = files.find(member)
      if (index >= 0 && !files.isSkipped(index)) return part
    }
  }
  return undefined
}

function missingPart({ name }: ParentBackup, part: string): WalgError {
  return new WalgError('BACKUP_BROKEN', `part "${part}" of it is missing or cut`, {
    facts: { backup: name, part },
  })
}

async function readParentControl(
  { storage, codec, signal }: OperationContext,
  parent: ParentBackup,
  stored: ReadonlyMap<string, number>,
): Promise<ControlFile> {
  const part = [...stored.keys()].find(isPgControlPart)
  if (part === undefined) throw missingPart(parent, 'pg_control.tar')
  const key = `${partsPrefix(parent.name)}/${part}`
  const opened = codec.openStream(partExtension(part) ?? '')(await storage.get(key, { signal }))
  let tar: Uint8Array
  try {
    tar = await collect(opened, CONTROL_TAR_BYTES_MAX)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new WalgError('BACKUP_BROKEN', `"${key}" is too large to be a pg_control`, { cause: error })
  }
  return parseControlFile(contentOfOnlyMember(key, tar), key)
}

function contentOfOnlyMember(key: string, tar: Uint8Array): Uint8Array {
  const reader = createTarReader(key)
  reader.feed(tar)
  const pieces: Uint8Array[] = []
  for (let step = reader.step(); step !== 'member-end'; step = reader.step()) {
    if (step === 'data') pieces.push(reader.data.slice())
    else if (step === 'need-block') {
      reader.finish()
      throw new WalgError('BACKUP_BROKEN', `"${key}" holds no file`, { facts: { key } })
    }
  }
  return Buffer.concat(pieces)
}
