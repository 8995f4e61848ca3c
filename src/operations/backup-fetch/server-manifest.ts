/** PostgreSQL's own `backup_manifest`, so that pg_verifybackup can judge a restored directory. */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import { parseBackupLabel } from '../../postgres/backup-label.ts'
import { formatLsn, type Lsn } from '../../postgres/lsn.ts'
import { parseBackupName } from '../../repository/backup-name.ts'
import type { ManifestChecksums } from './part/part-protocol.ts'
import type { ChainBackup } from './plan/chain.ts'
import { BACKUP_LABEL } from './plan/member-roles.ts'
import type { RestoredFile } from './restored-files.ts'

export const SERVER_MANIFEST = 'backup_manifest'
/** PostgreSQL 17 put the system identifier into the manifest. */
const VERSION_2_FROM = 170_000
const MANIFESTS_FROM = 130_000
const PIECE_CHARACTERS = 1 << 18

/** The WAL without which the backup is not consistent. */
export interface WalRange {
  readonly timeline: number
  readonly startLsn: Lsn
  readonly endLsn: Lsn
}

export interface ServerManifest {
  readonly pgVersion: number
  readonly systemIdentifier: bigint | null
  readonly checksums: ManifestChecksums
  readonly wal: WalRange
}

/**
 * What the head of the manifest needs, from the backup and its restored label; undefined for a server that knows no
 * manifests, or when something is not known.
 */
export function describeServerManifest(
  root: string,
  backup: ChainBackup,
  checksums: ManifestChecksums,
): ServerManifest | undefined {
  const { sentinel } = backup.document
  const { pgVersion, systemIdentifier, finishLsn } = sentinel
  const labelText = readLabel(path.join(root, BACKUP_LABEL))
  const label = labelText === undefined ? undefined : parseBackupLabel(labelText)
  const startLsn = label?.startLsn ?? sentinel.lsn
  const timeline = label?.startTimeline ?? parseBackupName(backup.name)?.timeline
  if (pgVersion < MANIFESTS_FROM || startLsn === null || finishLsn === null || timeline === undefined) {
    return undefined
  }
  if (pgVersion >= VERSION_2_FROM && systemIdentifier === null) return undefined
  return { pgVersion, systemIdentifier, checksums, wal: { timeline, startLsn, endLsn: finishLsn } }
}

/** Writes `backup_manifest` into `root`, in place of one that came with the backup. */
export async function writeServerManifest(
  root: string,
  manifest: ServerManifest,
  files: Iterable<RestoredFile>,
): Promise<void> {
  await writeFileDurably(path.join(root, SERVER_MANIFEST), formatServerManifest(manifest, files))
}

/** The manifest in pieces; its last line is the SHA-256 of everything before. */
export async function* formatServerManifest(
  manifest: ServerManifest,
  files: Iterable<RestoredFile>,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  const hash = createHash('sha256')
  let text = ''
  const take = (): Uint8Array => {
    const bytes = encoder.encode(text)
    text = ''
    hash.update(bytes)
    return bytes
  }
  for (const piece of manifestPieces(manifest, files)) {
    text += piece
    if (text.length >= PIECE_CHARACTERS) yield take()
  }
  yield take()
  yield encoder.encode(`"Manifest-Checksum": "${hash.digest('hex')}"}\n`)
}

function* manifestPieces(manifest: ServerManifest, files: Iterable<RestoredFile>): Generator<string> {
  const { pgVersion, systemIdentifier, wal, checksums } = manifest
  const version = pgVersion >= VERSION_2_FROM ? 2 : 1
  yield `{ "PostgreSQL-Backup-Manifest-Version": ${version},\n`
  if (version === 2) yield `"System-Identifier": ${systemIdentifier},\n`
  yield '"Files": [\n'
  let separator = ''
  for (const file of files) {
    if (isLeftOut(file.name.name)) continue
    yield separator + formatFile(file, checksums)
    separator = ',\n'
  }
  yield '\n],\n"WAL-Ranges": [\n'
  const { timeline, startLsn, endLsn } = wal
  yield `{ "Timeline": ${timeline}, "Start-LSN": "${formatLsn(startLsn)}", "End-LSN": "${formatLsn(endLsn)}" }\n`
  yield '],\n'
}

/** What PostgreSQL's own base backups leave out of their manifests. */
function isLeftOut(name: string): boolean {
  return (
    name === SERVER_MANIFEST ||
    name === 'recovery.signal' ||
    name === 'standby.signal' ||
    name.startsWith('pg_wal/')
  )
}

function formatFile(
  { name, sizeBytes, tarTime, checksum }: RestoredFile,
  checksums: ManifestChecksums,
): string {
  const path =
    name.bytes === undefined
      ? `"Path": ${JSON.stringify(name.name)}`
      : `"Encoded-Path": "${name.bytes.toHex()}"`
  const time = new Date(tarTime * 1000).toISOString().slice(0, 19).replace('T', ' ')
  const end =
    checksum === undefined
      ? ''
      : `, "Checksum-Algorithm": "${checksums.toUpperCase()}", "Checksum": "${checksum.toHex()}"`
  return `{ ${path}, "Size": ${sizeBytes}, "Last-Modified": "${time} GMT"${end} }`
}

function readLabel(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read', file)
  }
}
