import { collect } from '../../../kit/bytes.ts'
import { WalgError } from '../../../kit/errors.ts'
import { parseControlFile } from '../../../postgres/control-file.ts'
import type { BackupName } from '../../../repository/backup-name.ts'
import { partKey, partName, pgControlPartName } from '../../../repository/layout.ts'
import { readMembers, type StreamedMember } from '../../../tar/members.ts'
import type { TarMember } from '../../../tar/pack.ts'
import type { PushContext } from '../own-objects.ts'
import { type OpenPart, openPart, type StoredPart } from '../part/part.ts'
import { packedBytes } from '../part/part-packer.ts'
import { contentUnlessReplayed } from './sent-states.ts'
import type { StreamedPages } from './streamed-pages.ts'

/** A regular file that the server sent. */
export interface RemoteFile {
  readonly name: string
  /** Of the part. */
  readonly part: string
  readonly sizeBytes: number
  readonly hash: string
  readonly mtimeNs: bigint
}

const CONTROL_FILE = 'global/pg_control'
const CONTROL_BYTES_MAX = 64 << 10

/** Cuts the server's archives into parts anew, as the original does (storage-format 1.10). */
export class RemoteParts {
  readonly files: RemoteFile[] = []
  readonly parts: StoredPart[] = []
  readonly #context: PushContext
  readonly #backup: BackupName
  readonly #partBytesMax: number
  readonly #nextXid: bigint
  readonly #pages: StreamedPages | undefined
  #open: { readonly part: OpenPart; readonly name: string } | undefined
  #control: { readonly member: TarMember; readonly content: Uint8Array } | undefined

  /** `nextXid`: as in `BackupSession`. Without `pages` their checksums are not verified. */
  constructor(
    context: PushContext,
    backup: BackupName,
    partBytesMax: number,
    nextXid: bigint,
    pages: StreamedPages | undefined,
  ) {
    this.#context = context
    this.#backup = backup
    this.#partBytesMax = partBytesMax
    this.#nextXid = nextXid
    this.#pages = pages
  }

  /** The members of one archive, from a part of their own on. `tablespace` null: the data directory. */
  async pack(archive: AsyncIterable<Uint8Array>, tablespace: string | null): Promise<void> {
    await this.#endPart()
    const title = tablespace === null ? 'the data directory' : `tablespace ${tablespace}`
    for await (const streamed of readMembers(archive, title)) {
      await this.#packMember(streamed, tablespace === null ? '' : `pg_tblspc/${tablespace}/`)
    }
    await this.#endPart()
  }

  /** pg_control in a part of its own: what a restore unpacks after everything else. */
  async packControlFile(): Promise<void> {
    const { codec, log } = this.#context
    if (this.#control === undefined) {
      throw new WalgError('FORMAT_INVALID', 'the server sent no global/pg_control', {
        facts: { backup: this.#backup },
      })
    }
    const { member, content } = this.#control
    parseControlFile(content, CONTROL_FILE)
    const name = pgControlPartName(codec.extension)
    const part = await openPart(this.#context, partKey(this.#backup, name))
    try {
      const hash = await part.packer.packBytes(member, content)
      log.info(CONTROL_FILE)
      this.parts.push(await part.end())
      this.files.push(fileOf(member, name, hash))
    } catch (error) {
      await part.abort()
      throw error
    }
  }

  /** After a failure: nothing of the part that was open remains. */
  async abort(): Promise<void> {
    await this.#open?.part.abort()
    this.#open = undefined
  }

  async #packMember({ member: sent, content }: StreamedMember, prefix: string): Promise<void> {
    if (sent.nameBytes !== undefined) {
      throw new WalgError('FORMAT_UNSUPPORTED', `the file name "${sent.name}" is not UTF-8`, {
        hint: 'rename the file on the server, or move it out of the data directory',
      })
    }
    if (sent.kind !== 'file' && sent.kind !== 'directory') {
      this.#context.log.warning(`"${prefix}${sent.name}" is neither a file nor a directory: it is left out`)
      return
    }
    const member: TarMember = {
      kind: sent.kind,
      name: prefix + sent.name,
      sizeBytes: sent.sizeBytes,
      mode: sent.mode,
      uid: 0,
      gid: 0,
      mtimeNs: BigInt(sent.mtimeSeconds) * 1_000_000_000n,
    }
    if (member.name === CONTROL_FILE) {
      // in a part of its own alone: a restore that was interrupted must not find it in place
      this.#control = { member, content: await collect(content, CONTROL_BYTES_MAX) }
      return
    }
    if (member.kind === 'directory') {
      const { part } = await this.#partFor(member)
      await part.packer.packHeader(member)
      return
    }
    const needed = await contentUnlessReplayed(member, content, this.#nextXid)
    if (needed === undefined) {
      this.#context.log.info(`"${member.name}" is of a later checkpoint: it is left to WAL replay`)
      return
    }
    const { part, name } = await this.#partFor(member)
    const verified = this.#pages?.verify(member.name, member.sizeBytes, needed) ?? needed
    this.files.push(fileOf(member, name, await part.packer.packStream(member, verified)))
  }

  async #partFor(member: TarMember): Promise<{ readonly part: OpenPart; readonly name: string }> {
    if (this.#open !== undefined) {
      const { tarBytes } = this.#open.part.packer
      if (tarBytes === 0 || tarBytes + packedBytes(member.sizeBytes) <= this.#partBytesMax) return this.#open
      await this.#endPart()
    }
    const { codec, log } = this.#context
    const number = this.parts.length + 1
    const name = partName(number, codec.extension)
    log.info(`Starting part ${number} of backup ${this.#backup} ...`)
    this.#open = { part: await openPart(this.#context, partKey(this.#backup, name)), name }
    return this.#open
  }

  async #endPart(): Promise<void> {
    const open = this.#open
    if (open === undefined) return
    const stored = await open.part.end()
    this.#open = undefined
    this.parts.push(stored)
    this.#context.log.info(`Finished writing part ${this.parts.length} of backup ${this.#backup}.`)
  }
}

function fileOf({ name, sizeBytes, mtimeNs }: TarMember, part: string, hash: string): RemoteFile {
  return { name, part, sizeBytes, hash, mtimeNs }
}
