import { applyIncrement, applyIncrementBeneath, type IncrementApplication } from '../../../delta/apply.ts'
import { BeneathWriter } from '../../../delta/beneath.ts'
import { WalgError } from '../../../kit/errors.ts'
import type { Hasher } from '../../../kit/hash.ts'
import { collectGarbageEvery } from '../../../kit/thread.ts'
import type { UnpackedMember } from '../../../tar/unpack.ts'
import { assertNoHoles } from '../catchup/no-holes.ts'
import { IS_INCREMENT, IS_WANTED, PG_CONTROL } from '../plan/member-roles.ts'
import { canonicalName, MemberTable } from '../plan/member-table.ts'
import { ExistingFile } from '../target/existing-file.ts'
import { Flusher } from '../target/flusher.ts'
import { type FinishedFile, TargetFile } from '../target/target-file.ts'
import type { TargetTree } from '../target/target-tree.ts'
import { type FileChecksum, openFileChecksum } from './file-checksum.ts'
import { type NewerFile, NewerPagesView } from './newer-pages.ts'
import type { FetchSetup, PartJob, PartResult } from './part-protocol.ts'
import { PartResults } from './part-results.ts'

/** Each leaves some kilobytes behind. */
const MEMBERS_PER_COLLECTION = 1000

/** The member that is being unpacked. */
interface Current {
  readonly member: UnpackedMember
  readonly name: string
  readonly row: number
  /** Undefined: the bytes go nowhere (a second copy of a file that another part writes). */
  readonly file: TargetFile | undefined
  readonly increment: IncrementApplication | undefined
  /** A file that newer increments wrote to: this fills what is missing. */
  readonly beneath?: Beneath
  /** The content manifest has a hash of it. */
  readonly isHashed: boolean
  /** The file was there, the same already. */
  readonly kept?: FinishedFile
  /** Not all of its bytes were seen: the hash of the object vouches for them, not that of the content. */
  hasGaps?: boolean
}

interface Beneath {
  readonly newer: NewerFile
  readonly writer: BeneathWriter
  doneBytes: number
}

/** Unpacks the members of one part: decides, writes, verifies. Synchronous but for `room` and `drained`. */
export class PartUnpacker {
  readonly #setup: FetchSetup
  readonly #job: PartJob
  readonly #tree: TargetTree
  readonly #hasher: Hasher
  readonly #table: MemberTable | null
  readonly #roles: Uint8Array
  readonly #owners: Int32Array
  readonly #newer: NewerPagesView | undefined
  readonly #checksum: FileChecksum
  readonly #flusher: Flusher
  readonly #results: PartResults
  readonly #expectedHashes: Uint8Array | undefined
  readonly #expectedSizes: Float64Array | undefined
  readonly #expectedObjects: Uint32Array | undefined
  readonly #collectGarbage = collectGarbageEvery(MEMBERS_PER_COLLECTION)
  #current: Current | undefined

  constructor(setup: FetchSetup, job: PartJob, tree: TargetTree, hasher: Hasher) {
    this.#setup = setup
    this.#job = job
    this.#tree = tree
    this.#hasher = hasher
    const { table, roles, owners, expectations, newer } = job.of
    this.#table = table === null ? null : new MemberTable(table)
    this.#roles = new Uint8Array(roles)
    this.#owners = new Int32Array(owners)
    this.#newer = newer === null ? undefined : new NewerPagesView(newer)
    this.#checksum = openFileChecksum(setup.checksums)
    this.#flusher = new Flusher(setup.isDurable)
    this.#results = new PartResults(this.#checksum.sizeBytes)
    if (expectations !== null) {
      this.#expectedHashes = new Uint8Array(expectations.hashes)
      this.#expectedSizes = new Float64Array(expectations.sizes)
      this.#expectedObjects = new Uint32Array(expectations.objects)
    }
  }

  begin(member: UnpackedMember): void {
    const name = canonicalName(member.name)
    const row = this.#table === null ? -1 : this.#table.find(name)
    if (member.kind === 'directory') this.#beginDirectory(member, name, row)
    else if (member.kind === 'file') this.#beginFile(member, name, row)
    else this.#leaveOut(member, name, row)
  }

  write(bytes: Uint8Array): void {
    const current = this.#current
    if (current === undefined) return
    if (current.isHashed) this.#hasher.update(bytes)
    if (current.file === undefined) return
    const { increment, beneath } = current
    if (increment !== undefined) increment.write(bytes)
    else if (beneath !== undefined) {
      beneath.writer.write(bytes, beneath.doneBytes)
      beneath.doneBytes += bytes.length
    } else {
      current.file.write(bytes)
      if (this.#checksum.sizeBytes > 0) this.#checksum.update(bytes)
    }
  }

  /**
   * How many of the member's next `leftBytes` nobody needs: newer backups have brought what they would be written to. None
   * where the stored object has no hash of its own that vouches for what is passed over.
   */
  unneededBytes(leftBytes: number): number {
    const current = this.#current
    if (this.#job.expectedHash === null) return 0
    if (current?.file === undefined) return leftBytes
    const { increment, beneath } = current
    if (increment !== undefined) return increment.unneededBytes()
    if (beneath === undefined) return 0
    return beneath.writer.unneededBytes(beneath.doneBytes, beneath.doneBytes + leftBytes)
  }

  passOver(countBytes: number): void {
    const current = this.#current
    if (current === undefined) return
    current.hasGaps = true
    current.increment?.passOver(countBytes)
    if (current.beneath !== undefined) current.beneath.doneBytes += countBytes
  }

  end(): void {
    this.#collectGarbage(1)
    const current = this.#current
    if (current === undefined) return
    const { member, name, row, file, increment, beneath } = current
    if (current.isHashed && current.hasGaps !== true) this.#checkHash(name, row)
    if (file !== undefined) {
      increment?.end()
      beneath?.writer.clear(beneath.doneBytes)
      const sizeBytes = increment?.finalSizeBytes ?? beneath?.newer.sizeBytes ?? member.sizeBytes
      const finished = file.finish(sizeBytes, member.mode)
      this.#current = undefined
      if (increment !== undefined) {
        const { fileSizeBytes, finalSizeBytes, blocks } = increment
        this.#results.addIncrement({ row, fileSizeBytes, finalSizeBytes, blocks })
      }
      const { into, at } = this.#results.add({
        row,
        name,
        nameBytes: member.nameBytes,
        ...finished,
        tarTime: member.mtimeSeconds,
        isPatched: increment !== undefined || beneath !== undefined,
      })
      if (increment === undefined && beneath === undefined) this.#checksum.write(into, at)
    } else if (current.kept === undefined) this.#results.addSeen(row)
    else this.#addKept(current, current.kept)
    this.#current = undefined
  }

  /** A promise when flushes must catch up first. */
  room(): Promise<void> | undefined {
    return this.#flusher.room()
  }

  /** Everything is on disk. */
  async finish(storedBytes: number, storedHash: string | null): Promise<PartResult> {
    await this.#flusher.drained()
    return this.#results.finish(storedBytes, storedHash)
  }

  /** Closes what is open after a failure. */
  async abandon(): Promise<void> {
    await this.#current?.file?.abandon()
    this.#current = undefined
    await this.#flusher.drained()
  }

  #beginDirectory(member: UnpackedMember, name: string, row: number): void {
    if (this.#isOfDroppedTablespace(name, row)) return
    this.#tree.ensureDirectory({ name, bytes: member.nameBytes })
    this.#results.directories.push({ name: { name, bytes: member.nameBytes }, mode: member.mode })
    this.#results.addSeen(row)
  }

  /**
   * A directory of an older backup that the restored one does not have comes back empty (storage-format 3.6); but PostgreSQL does not
   * start on one that stands where it expects the link of a tablespace.
   */
  #isOfDroppedTablespace(name: string, row: number): boolean {
    return !this.#job.of.isTarget && this.#table !== null && row < 0 && name.startsWith('pg_tblspc/')
  }

  #leaveOut(member: UnpackedMember, name: string, row: number): void {
    const isPlanned = member.kind === 'symlink' && this.#setup.layout.links[name] !== undefined
    if (!isPlanned) this.#results.ignored.push(name)
    // a hard link would be a file: it is missed at the end
    if (member.kind !== 'hardlink') this.#results.addSeen(row)
  }

  #beginFile(member: UnpackedMember, name: string, row: number): void {
    this.#results.memberBytes += member.sizeBytes
    if (!this.#isWanted(name, row)) return
    const isIncrement = this.#job.of.isDelta && row >= 0 && (this.#roles[row]! & IS_INCREMENT) !== 0
    const isHashed = this.#checkExpectation(member, name, row)
    if (isHashed) this.#hasher.reset()
    const newer = this.#newer?.of(row) ?? 'nothing'
    if (newer === 'whole' || (!isIncrement && !this.#claim(row))) {
      this.#current = { member, name, row, file: undefined, increment: undefined, isHashed }
      return
    }
    const target = { name, bytes: member.nameBytes }
    this.#tree.ensureParent(target)
    if (newer !== 'nothing') this.#beginBeneath(member, name, row, newer, { isIncrement, isHashed })
    else if (isIncrement) {
      const file = new TargetFile(this.#tree.pathOf(target), member.mode, 'resized', this.#flusher)
      const increment = this.#openIncrement(member, name, file)
      this.#current = { member, name, row, file, increment, isHashed }
    } else this.#beginWhole(member, name, row, isHashed)
  }

  #beginWhole(member: UnpackedMember, name: string, row: number, isHashed: boolean): void {
    const path = this.#tree.pathOf({ name, bytes: member.nameBytes })
    if (isHashed && this.#setup.keepsMatching) {
      const kept = this.#findMatching(path, member, row)
      if (kept !== undefined) {
        this.#current = { member, name, row, file: undefined, increment: undefined, isHashed, kept }
        return
      }
    }
    const file = new TargetFile(path, member.mode, 'new', this.#flusher)
    this.#checksum.reset()
    this.#current = { member, name, row, file, increment: undefined, isHashed }
  }

  /** Mode and size are those of the newest backup that has the file, and stay. */
  #beginBeneath(
    member: UnpackedMember,
    name: string,
    row: number,
    newer: NewerFile,
    { isIncrement, isHashed }: { readonly isIncrement: boolean; readonly isHashed: boolean },
  ): void {
    const { pageBytes } = this.#setup
    const path = this.#tree.pathOf({ name, bytes: member.nameBytes })
    const file = new TargetFile(path, member.mode, 'beneath', this.#flusher)
    if (isIncrement) {
      const increment = applyIncrementBeneath(name, member.sizeBytes, pageBytes, file, newer)
      this.#current = { member, name, row, file, increment, isHashed }
    } else {
      const beneath = { newer, writer: new BeneathWriter(file, newer, pageBytes), doneBytes: 0 }
      this.#current = { member, name, row, file, increment: undefined, isHashed, beneath }
    }
  }

  #openIncrement(member: UnpackedMember, name: string, file: TargetFile): IncrementApplication {
    const { pageBytes, isCatchup } = this.#setup
    if (!isCatchup) return applyIncrement(name, member.sizeBytes, pageBytes, file)
    return applyIncrement(name, member.sizeBytes, pageBytes, file, (header, blocks) =>
      assertNoHoles({ name, presentBytes: file.sizeBytes, pageBytes }, header, blocks),
    )
  }

  /** The file itself, when it is already what the manifest says; what it is then flushed like a written one. */
  #findMatching(path: string | Buffer, member: UnpackedMember, row: number): FinishedFile | undefined {
    const file = ExistingFile.open(path, member.sizeBytes)
    if (file === undefined) return undefined
    this.#hasher.reset()
    this.#checksum.reset()
    file.read(bytes => {
      this.#hasher.update(bytes)
      if (this.#checksum.sizeBytes > 0) this.#checksum.update(bytes)
    })
    const isSame = this.#hasher.digest() === this.#expectedHash(row)
    this.#hasher.reset()
    return isSame ? file.keep(member.mode, this.#flusher) : file.close()
  }

  #addKept({ member, name, row }: Current, kept: FinishedFile): void {
    const { into, at } = this.#results.add({
      row,
      name,
      nameBytes: member.nameBytes,
      ...kept,
      tarTime: member.mtimeSeconds,
      isPatched: false,
    })
    this.#checksum.write(into, at)
  }

  #isWanted(name: string, row: number): boolean {
    if (name === PG_CONTROL && this.#job.leavesControlFile) return false
    if (this.#table === null) return !this.#job.of.dropped.includes(name)
    return row >= 0 && (this.#roles[row]! & IS_WANTED) !== 0
  }

  /** False when another part has the file: two writers in one file would mix two copies. */
  #claim(row: number): boolean {
    if (row < 0 || this.#job.isLate) return true
    const owner = Atomics.compareExchange(this.#owners, row, 0, this.#job.number)
    return owner === 0 || owner === this.#job.number
  }

  /** True when the content manifest has a hash of this member; throws when it should have one and has not. */
  #checkExpectation(member: UnpackedMember, name: string, row: number): boolean {
    if (this.#expectedObjects === undefined) return false
    const { part, manifestObject } = this.#job
    if (row < 0 || this.#expectedObjects[row] !== manifestObject) {
      throw new WalgError(
        'INTEGRITY',
        `"${name}" in "${part}" is not in the content manifest of the backup`,
        {
          facts: { file: name, part, backup: this.#job.of.backup },
          hint: 'the object does not belong to this backup or was changed: restore another backup',
        },
      )
    }
    if (this.#expectedSizes![row] !== member.sizeBytes) {
      throw this.#mismatch(name, `${member.sizeBytes} bytes instead of ${this.#expectedSizes![row]}`)
    }
    return true
  }

  #checkHash(name: string, row: number): void {
    const expected = this.#expectedHash(row)
    const found = this.#hasher.digest()
    if (found !== expected) throw this.#mismatch(name, `hash ${found} instead of ${expected}`)
  }

  #expectedHash(row: number): string {
    return Buffer.from(this.#expectedHashes!.slice(row * 16, row * 16 + 16)).toString('hex')
  }

  #mismatch(name: string, what: string): WalgError {
    const { part, of } = this.#job
    return new WalgError(
      'CHECKSUM_MISMATCH',
      `"${name}" in "${part}" differs from the content manifest: ${what}`,
      {
        facts: { file: name, part, backup: of.backup },
        hint: 'the stored object is damaged: restore another backup',
      },
    )
  }
}
