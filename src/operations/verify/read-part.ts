import { openIncrementDecoder } from '../../delta/increment.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { openPageVerifier, PagePieces, type PageVerifier } from '../../postgres/page.ts'
import { firstBlockOf, parseRelationFile, type RelationFile } from '../../postgres/relation-file.ts'
import type { FilesMetadata } from '../../repository/files-metadata.ts'
import { PARTS_FOLDER, partExtension } from '../../repository/layout.ts'
import type { ContentManifest } from '../../repository/manifest.ts'
import { createTarReader, type UnpackedMember } from '../../tar/unpack.ts'
import { type ReadLane, readStored } from './read-object.ts'

/** What the members of a backup's parts are held against. */
export interface PartExpectations {
  readonly isDelta: boolean
  readonly manifest: ContentManifest | null
  readonly files: FilesMetadata | null
  /** How pages are checked; null when the cluster had no checksums. */
  readonly pages: {
    readonly pageBytes: number
    readonly blocksPerSegment: number
    readonly startLsn: Lsn
    /** Absent where the sentinel does not say it. */
    readonly endLsn?: Lsn
  } | null
  readonly pageBytes: number
}

/** Pages of one member whose checksum does not match. */
export interface DamagedPages {
  readonly member: string
  readonly relation: RelationFile
  /** Number of the file's first page within its fork. */
  readonly firstBlock: number
  /** From the beginning of the file, ascending. */
  readonly blocks: readonly number[]
}

export interface PartContents {
  readonly damagedPages: readonly DamagedPages[]
  /** Content of `global/pg_control`, when the part has it. */
  readonly controlFile: Uint8Array | null
}

const CONTROL_FILE = 'global/pg_control'
const CONTROL_BYTES_MAX = 64 << 10

/**
 * Reads one part whole: it opens, its tar is sound, every member is the one that the content manifest has, increments
 * are well formed; pages are judged as by a push. Throws FORMAT_*, CHECKSUM_MISMATCH, DECRYPT_FAILED,
 * INTEGRITY.
 */
export async function readPart(
  lane: ReadLane,
  key: string,
  part: string,
  expected: PartExpectations,
): Promise<PartContents> {
  const members = new PartMembers(lane, part, expected)
  const tar = createTarReader(part)
  const stored = await readStored(lane, key, partExtension(part) ?? '', block => {
    tar.feed(block)
    for (let step = tar.step(); step !== 'need-block'; step = tar.step()) {
      if (step === 'member') members.begin(tar.member)
      else if (step === 'data') members.write(tar.data)
      else members.end()
    }
  })
  tar.finish()
  const object = expected.manifest?.object(`${PARTS_FOLDER}/${part}`)
  if (object !== undefined && (object.sizeBytes !== stored.sizeBytes || object.hash !== stored.hash)) {
    throw new WalgError(
      'CHECKSUM_MISMATCH',
      `the stored bytes differ from the content manifest: ${stored.sizeBytes} bytes, hash ${stored.hash} instead of ${object.sizeBytes} bytes, hash ${object.hash}`,
    )
  }
  return members.finish()
}

/** The member that is passing by. */
interface Passing {
  readonly member: UnpackedMember
  readonly name: string
  /** Of the content manifest; -1 without one. */
  readonly index: number
  readonly observers: readonly Observer[]
}

interface Observer {
  write(bytes: Uint8Array): void
  end(): void
}

class PartMembers {
  readonly #lane: ReadLane
  readonly #part: string
  readonly #expected: PartExpectations
  readonly #seen = new Set<number>()
  readonly #names = new Set<string>()
  readonly #damagedPages: DamagedPages[] = []
  #verifier: PageVerifier | undefined
  #controlFile: Uint8Array | null = null
  #passing: Passing | undefined

  constructor(lane: ReadLane, part: string, expected: PartExpectations) {
    this.#lane = lane
    this.#part = part
    this.#expected = expected
  }

  begin(member: UnpackedMember): void {
    const { manifest } = this.#expected
    if (manifest === null) this.#names.add(member.name)
    if (member.kind !== 'file') return
    const index = manifest === null ? -1 : this.#expectedIndex(member, manifest)
    const name = member.name.replace(/^\//, '')
    const observers: Observer[] = []
    if (index >= 0) observers.push(this.#hashObserver(member.name, index, manifest!))
    observers.push(...this.#contentObservers(member))
    if (name === CONTROL_FILE) observers.push(this.#captureObserver(member))
    this.#passing = { member, name, index, observers }
  }

  write(bytes: Uint8Array): void {
    for (const observer of this.#passing?.observers ?? []) observer.write(bytes)
  }

  end(): void {
    for (const observer of this.#passing?.observers ?? []) observer.end()
    this.#passing = undefined
  }

  /** Throws INTEGRITY when a member that should be in this part did not come. */
  finish(): PartContents {
    const { manifest, files } = this.#expected
    if (manifest !== null) {
      for (const index of manifest.filesOf(`${PARTS_FOLDER}/${this.#part}`)) {
        if (!this.#seen.has(index)) throw this.#missing(manifest.file(index).name)
      }
    } else if (files?.partNames().includes(this.#part) === true) {
      for (const name of files.partMembers(this.#part)) if (!this.#names.has(name)) throw this.#missing(name)
    }
    return { damagedPages: this.#damagedPages, controlFile: this.#controlFile }
  }

  #expectedIndex(member: UnpackedMember, manifest: ContentManifest): number {
    const object = `${PARTS_FOLDER}/${this.#part}`
    const index =
      member.nameBytes === undefined
        ? manifest.find(member.name, object)
        : manifest.findBytes(member.nameBytes, object)
    if (index < 0) {
      throw new WalgError('INTEGRITY', `"${member.name}" is not in the content manifest of the backup`)
    }
    if (manifest.sizeBytes(index) !== member.sizeBytes) {
      const wanted = manifest.sizeBytes(index)
      throw new WalgError(
        'CHECKSUM_MISMATCH',
        `"${member.name}" has ${member.sizeBytes} bytes, ${wanted} in the content manifest`,
      )
    }
    this.#seen.add(index)
    return index
  }

  #hashObserver(name: string, index: number, manifest: ContentManifest): Observer {
    const { contentHasher } = this.#lane
    contentHasher.reset()
    return {
      write: bytes => contentHasher.update(bytes),
      end: () => {
        const hash = contentHasher.digest()
        if (hash === manifest.hash(index)) return
        throw new WalgError(
          'CHECKSUM_MISMATCH',
          `"${name}" has the hash ${hash}, ${manifest.hash(index)} in the content manifest`,
        )
      },
    }
  }

  /** Of an increment its form and its pages, of another file its pages. */
  #contentObservers(member: UnpackedMember): Observer[] {
    const { files, isDelta, pageBytes } = this.#expected
    const at = isDelta && files !== null ? files.find(member.name) : -1
    if (at < 0 || !files!.isIncremented(at)) {
      const pages = this.#openPages(member, member.sizeBytes)
      return pages === undefined ? [] : [{ write: bytes => pages.pieces.observe(bytes), end: pages.end }]
    }
    const pages = this.#openPages(member, 0)
    let next = 0
    const increment = openIncrementDecoder(member.name, member.sizeBytes, pageBytes, {
      begin() {},
      write(bytes, position) {
        if (position !== next) pages?.pieces.seek(position / pageBytes)
        pages?.pieces.observe(bytes)
        next = position + bytes.length
      },
    })
    return [increment, ...(pages === undefined ? [] : [{ write() {}, end: pages.end }])]
  }

  /**
   * Undefined: no file of a relation with checksums, one that does not consist of whole pages, or of a temporary table: every server
   * removes those when it starts, and no WAL tells whether a page was just being written.
   */
  #openPages(
    { name: member }: UnpackedMember,
    sizeBytes: number,
  ): { readonly pieces: PagePieces; end(): void } | undefined {
    const { pages } = this.#expected
    const relation = pages === null ? undefined : parseRelationFile(member)
    if (pages === null || relation === undefined || relation.isTemporary) return undefined
    if (sizeBytes % pages.pageBytes !== 0) return undefined
    this.#verifier ??= openPageVerifier(pages)
    const firstBlock = firstBlockOf(relation, pages.blocksPerSegment)
    const pieces = new PagePieces(this.#verifier, firstBlock)
    return {
      pieces,
      end: () => {
        const blocks = pieces.suspects.map(({ block }) => block - firstBlock)
        if (blocks.length > 0) this.#damagedPages.push({ member, relation, firstBlock, blocks })
      },
    }
  }

  #captureObserver(member: UnpackedMember): Observer {
    const content = new Uint8Array(Math.min(member.sizeBytes, CONTROL_BYTES_MAX))
    let at = 0
    return {
      write: bytes => {
        content.set(bytes.subarray(0, content.length - at), at)
        at = Math.min(content.length, at + bytes.length)
      },
      end: () => {
        this.#controlFile = content
      },
    }
  }

  #missing(name: string): WalgError {
    return new WalgError('INTEGRITY', `"${name}" should be in this part and is not`)
  }
}
