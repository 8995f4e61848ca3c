import { createReadStream, statSync } from 'node:fs'
import { join } from 'node:path'
import { type ByteStream, collect, streamOf } from '../../../kit/bytes.ts'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import { assertSegment, openSegmentChecker } from '../../../postgres/wal/page-reader.ts'
import { isSegmentName } from '../../../postgres/wal-segment.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import { findPayload, openFound } from '../../../repository/sealed.ts'
import type { OperationContext } from '../../context.ts'

/** A WAL file that travels inside a backup, as `/pg_wal/<file>`. */
export interface WalMember {
  readonly memberName: string
  readonly sizeBytes: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
  /** Checked while it is read: WAL_INVALID at the end of a segment that is not what its name says. */
  open(): Promise<ByteStream>
}

/** Where WAL files are looked for: first beside the data, then in the archive. */
export interface WalPlace {
  readonly context: OperationContext
  readonly walDirectory: string
  readonly walSegmentBytes: number
  /** Owner of the files as they are restored: that of the data directory. */
  readonly owner: { readonly uid: number; readonly gid: number }
}

const SMALL_FILE_BYTES_MAX = 1 << 20
const FILE_MODE = 0o600

/**
 * Finds a WAL file; undefined when it is neither beside the data nor in the archive. Of a segment the first
 * `neededBytes` (default: all) must be what its name says: behind the end of WAL lie the pages of the older segment
 * whose file PostgreSQL has recycled.
 */
export async function findWalMember(
  place: WalPlace,
  file: string,
  neededBytes: number = place.walSegmentBytes,
): Promise<WalMember | undefined> {
  return findLocal(place, file, neededBytes) ?? (await findArchived(place, file, neededBytes))
}

/** Finds a segment of which `neededBytes` must be sound. Throws WAL_NOT_FOUND. */
export async function requireWalMember(
  place: WalPlace,
  file: string,
  neededBytes: number,
): Promise<WalMember> {
  const member = await findWalMember(place, file, neededBytes)
  if (member !== undefined) return member
  const { storage } = place.context
  throw new WalgError(
    'WAL_NOT_FOUND',
    `the backup needs WAL segment "${file}", which is neither in "${place.walDirectory}" nor in storage "${storage.name}"`,
    {
      facts: { file, directory: place.walDirectory, storage: storage.name },
      hint: 'to bring an existing backup with its WAL to another storage use `copy`; to back up this directory start a server on it',
    },
  )
}

/** Content of a small WAL-side file (`.backup`, `.history`), or undefined. */
export async function readWalText(member: WalMember): Promise<string> {
  return new TextDecoder().decode(await collect(await member.open(), SMALL_FILE_BYTES_MAX))
}

function findLocal(place: WalPlace, file: string, neededBytes: number): WalMember | undefined {
  const path = join(place.walDirectory, file)
  try {
    const stats = statSync(path, { bigint: true })
    if (!stats.isFile()) return undefined
    const open = (): ByteStream => readFileStream(path)
    return memberOf(place, { file, neededBytes }, Number(stats.size), stats.mtimeNs, async () => open())
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read', path)
  }
}

async function findArchived(
  place: WalPlace,
  file: string,
  neededBytes: number,
): Promise<WalMember | undefined> {
  const { storage, codec, signal } = place.context
  const found = await findPayload(storage, `${WAL_PREFIX}/${file}`, {
    firstExtension: codec.extension,
    signal,
  })
  if (found === null) return undefined
  const { modifiedNs } = found.info
  if (isSegmentName(file)) {
    const open = (): Promise<ByteStream> => openFound(storage, codec, found, { signal })
    return memberOf(place, { file, neededBytes }, place.walSegmentBytes, modifiedNs, open)
  }
  // A tar header says the size before the content: what is small is read at once.
  const content = await collect(await openFound(storage, codec, found, { signal }), SMALL_FILE_BYTES_MAX)
  return memberOf(place, { file, neededBytes }, content.length, modifiedNs, async () => streamOf(content))
}

function memberOf(
  place: WalPlace,
  { file, neededBytes }: { readonly file: string; readonly neededBytes: number },
  sizeBytes: number,
  mtimeNs: bigint,
  open: () => Promise<ByteStream>,
): WalMember {
  return {
    memberName: `/pg_wal/${file}`,
    sizeBytes,
    mode: FILE_MODE,
    ...place.owner,
    mtimeNs,
    open: async () => (isSegmentName(file) ? checked(file, neededBytes, await open()) : await open()),
  }
}

async function* readFileStream(path: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) yield bytes as Uint8Array
  } catch (error) {
    throw fromSystemError(error, 'read', path)
  }
}

/** Passes the bytes of a segment on and looks at its pages meanwhile. */
async function* checked(file: string, neededBytes: number, stream: ByteStream): AsyncGenerator<Uint8Array> {
  const checker = openSegmentChecker(file)
  for await (const bytes of stream) {
    checker.update(bytes)
    yield bytes
  }
  const report = checker.end()
  const isBehindNeeded = report.fault?.kind !== 'size' && (report.fault?.offsetBytes ?? 0) >= neededBytes
  if (!isBehindNeeded) assertSegment(report)
}
