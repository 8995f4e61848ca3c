import { openIncrementDecoder } from '../../delta/increment.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { openPageVerifier, type PageVerifier } from '../../postgres/page.ts'
import { firstBlockOf, parseRelationFile } from '../../postgres/relation-file.ts'
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
  /** How pages are checked where there is no hash; null when the cluster had no checksums. */
  readonly pages: {
    readonly pageBytes: number
    readonly blocksPerSegment: number
    readonly startLsn: Lsn
    /** Absent where the sentinel does not say it. */
    readonly endLsn?: Lsn
  } | null
  readonly pageBytes: number
}

export interface PartContents {
  /** Pages whose checksum does not match, of files without a hash: member and block numbers within the file. */
  readonly damagedPages: readonly { readonly member: string; readonly blocks: readonly number[] }[]
  /** Content of `global/pg_control`, when the part has it. */
  readonly controlFile: Uint8Array | null
}

const CONTROL_FILE = 'global/pg_control'
const CONTROL_BYTES_MAX = 64 << 10

/**
 * Reads one part whole: it opens, its tar is sound, every member is the one that the content manifest has, increments
 * are well formed. Without a manifest pages are checked instead. Throws FORMAT_*, CHECKSUM_MISMATCH, DECRYPT_FAILED,
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
  readonly #damagedPages: { member: string; blocks: number[] }[] = []
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
    const increment = this.#incrementObserver(member)
    if (increment !== undefined) observers.push(increment)
    else if (index < 0) {
      const pages = this.#pageObserver(member)
      if (pages !== undefined) observers.push(pages)
    }
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

  #incrementObserver(member: UnpackedMember): Observer | undefined {
    const { files, isDelta, pageBytes } = this.#expected
    const at = isDelta && files !== null ? files.find(member.name) : -1
    if (at < 0 || !files!.isIncremented(at)) return undefined
    return openIncrementDecoder(member.name, member.sizeBytes, pageBytes, { begin() {}, write() {} })
  }

  #pageObserver(member: UnpackedMember): Observer | undefined {
    const { pages } = this.#expected
    const relation = pages === null ? undefined : parseRelationFile(member.name)
    if (pages === null || relation === undefined || relation.fork === 'init') return undefined
    if (member.sizeBytes % pages.pageBytes !== 0) return undefined
    this.#verifier ??= openPageVerifier(pages)
    const verifier = this.#verifier
    const firstBlock = firstBlockOf(relation, pages.blocksPerSegment)
    const page = new Uint8Array(pages.pageBytes)
    const found: number[] = []
    let held = 0
    let block = firstBlock
    const verify = (bytes: Uint8Array): void => {
      for (const bad of verifier.verify(bytes, block)) found.push(bad - firstBlock)
      block += bytes.length / pages.pageBytes
    }
    return {
      write: bytes => {
        let rest = bytes
        if (held > 0) {
          const piece = rest.subarray(0, page.length - held)
          page.set(piece, held)
          held += piece.length
          rest = rest.subarray(piece.length)
          if (held < page.length) return
          verify(page)
          held = 0
        }
        const whole = rest.length - (rest.length % page.length)
        if (whole > 0) verify(rest.subarray(0, whole))
        held = rest.length - whole
        page.set(rest.subarray(whole), 0)
      },
      end: () => {
        if (found.length > 0) this.#damagedPages.push({ member: member.name, blocks: found })
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
