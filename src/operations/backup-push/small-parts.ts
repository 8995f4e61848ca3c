import { readFileSync } from 'node:fs'
import type { ByteStream } from '../../kit/bytes.ts'
import { systemClock } from '../../kit/clock.ts'
import { fromSystemError, hasCode } from '../../kit/errors.ts'
import { createRateLimit, openRateLimit, stopRateLimit } from '../../kit/limits.ts'
import { parseControlFile } from '../../postgres/control-file.ts'
import type { ControlEntry } from '../../postgres/data-directory.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import { labelPartName, partKey, pgControlPartName } from '../../repository/layout.ts'
import type { TarMember } from '../../tar/pack.ts'
import type { SmallMember, SmallPart } from './backup-record.ts'
import type { PushContext } from './own-objects.ts'
import { type OpenPart, openPart, type StoredPart } from './part/part.ts'
import type { WalMember } from './source/wal-members.ts'

/** Numbers the parts that the main thread packs, for the log lines only: their objects have names of their own. */
export interface SmallPartPlace {
  readonly context: PushContext
  readonly backup: BackupName
  readonly number: number
}

const CONTROL_READS_MAX = 10
const CONTROL_READ_PAUSE_MS = 20

/** `pg_control.tar`: what a restore unpacks after everything else. */
export async function pushControlFile(place: SmallPartPlace, control: ControlEntry): Promise<SmallPart> {
  const content = await readWholeControlFile(control.path)
  const name = pgControlPartName(place.context.codec.extension)
  return pushPart(place, name, async part => {
    const member = fileMember(control.memberName, content.length, control)
    const hash = await part.packer.packBytes(member, content)
    place.context.log.info(control.memberName)
    return {
      members: [{ name: control.memberName, sizeBytes: content.length, hash }],
      listed: [],
      recorded: [],
    }
  })
}

/** `backup_label.tar`: exactly what the server said at the end of the backup (storage-format 1.8). */
export async function pushLabels(
  place: SmallPartPlace,
  labels: { readonly labelFile: string; readonly tablespaceMap: string },
): Promise<SmallPart> {
  const name = labelPartName(place.context.codec.extension)
  return pushPart(place, name, async part => {
    const members: SmallMember[] = []
    for (const [memberName, text] of [
      ['backup_label', labels.labelFile],
      ['tablespace_map', labels.tablespaceMap],
    ] as const) {
      const content = new TextEncoder().encode(text)
      const owner = { mode: 0o600, uid: 0, gid: 0, mtimeNs: 0n }
      const hash = await part.packer.packBytes(fileMember(memberName, content.length, owner), content)
      place.context.log.info(memberName)
      members.push({ name: memberName, sizeBytes: content.length, hash })
    }
    return { members, listed: [], recorded: ['tablespace_map', 'backup_label'] }
  })
}

/** The WAL that a backup of a directory at rest needs, as members below `/pg_wal/`, in an ordinary part. */
export async function pushWalMembers(
  place: SmallPartPlace,
  partName: string,
  wal: readonly WalMember[],
  diskBytesPerSecond: number | undefined,
): Promise<SmallPart> {
  const { signal } = place.context
  return pushPart(place, partName, async part => {
    const members: SmallMember[] = []
    for (const file of wal) {
      const member = fileMember(file.memberName, file.sizeBytes, file)
      const content = paced(await file.open(), diskBytesPerSecond, signal)
      const hash = await part.packer.packStream(member, content)
      place.context.log.info(file.memberName)
      members.push({ name: file.memberName, sizeBytes: file.sizeBytes, hash })
    }
    return { members, listed: wal.map(toListed), recorded: wal.map(file => file.memberName) }
  })
}

/** Files are read at the rate that holds for the parts before, until `signal`. */
async function* paced(
  stream: ByteStream,
  bytesPerSecond: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (bytesPerSecond === undefined) return yield* stream
  const limit = createRateLimit(bytesPerSecond)
  const limiter = openRateLimit(limit)
  const stop = (): void => stopRateLimit(limit)
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of stream) {
      await limiter.take(chunk.length)
      yield chunk
    }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Seals `body` as the object `key`, measured and hashed as it is stored. */
export async function putMeasured(context: PushContext, key: string, body: ByteStream): Promise<StoredPart> {
  const part = await openPart(context, key)
  try {
    await part.packer.putStream(body)
    return await part.end('bare')
  } catch (error) {
    await part.abort()
    throw error
  }
}

async function pushPart(
  place: SmallPartPlace,
  name: string,
  pack: (part: OpenPart) => Promise<Pick<SmallPart, 'members' | 'listed' | 'recorded'>>,
): Promise<SmallPart> {
  const { context, backup, number } = place
  context.log.info(`Starting part ${number} of backup ${backup} ...`)
  const part = await openPart(context, partKey(backup, name))
  try {
    const packed = await pack(part)
    const stored = await part.end()
    context.log.info(`Finished writing part ${number} of backup ${backup}.`)
    return { ...stored, ...packed }
  } catch (error) {
    await part.abort()
    throw error
  }
}

function fileMember(
  name: string,
  sizeBytes: number,
  owner: Pick<TarMember, 'mode' | 'uid' | 'gid' | 'mtimeNs'>,
): TarMember {
  const { mode, uid, gid, mtimeNs } = owner
  return { name, kind: 'file', sizeBytes, mode, uid, gid, mtimeNs }
}

function toListed(file: WalMember): { readonly name: string; readonly mtimeNs: bigint } {
  return { name: file.memberName, mtimeNs: file.mtimeNs }
}

/** The server rewrites pg_control in place: a read that catches it half-way has a wrong checksum, and is repeated. */
async function readWholeControlFile(path: string): Promise<Uint8Array> {
  for (let read = 1; ; read++) {
    let content: Uint8Array
    try {
      content = readFileSync(path)
    } catch (error) {
      throw fromSystemError(error, 'read', path)
    }
    try {
      parseControlFile(content, path)
      return content
    } catch (error) {
      if (!hasCode(error, 'CHECKSUM_MISMATCH') || read === CONTROL_READS_MAX) throw error
      await systemClock.sleep(CONTROL_READ_PAUSE_MS)
    }
  }
}
