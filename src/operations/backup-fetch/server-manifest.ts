/** PostgreSQL's own `backup_manifest`, so that pg_verifybackup can judge a restored directory. */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import { parseBackupLabel } from '../../postgres/backup-label.ts'
import { formatLsn, type Lsn } from '../../postgres/lsn.ts'
import { parseBackupName } from '../../repository/backup-name.ts'
import type { ChainBackup } from '../../repository/chain.ts'
import { JsonBytes } from './json-bytes.ts'
import type { ManifestChecksums } from './part/part-protocol.ts'
import { BACKUP_LABEL } from './plan/member-roles.ts'
import type { RestoredFile, RestoredFileList } from './restored-files.ts'
import { resolveDestination } from './target/destination.ts'
import type { TargetLayout } from './target/target-tree.ts'

export const SERVER_MANIFEST = 'backup_manifest'
/** PostgreSQL 17 put the system identifier into the manifest. */
const VERSION_2_FROM = 170_000
const MANIFESTS_FROM = 130_000
const PIECE_BYTES = 1 << 17
const encoder = new TextEncoder()
const LEFT_OUT = [SERVER_MANIFEST, 'recovery.signal', 'standby.signal'].map(name => encoder.encode(name))
const WAL_FOLDER = encoder.encode('pg_wal/')

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

/**
 * Writes `backup_manifest` into `root`, in place of one that came with the backup. It grows in `stateFolder`, on the
 * same file system: what a kill leaves there goes with the folder.
 */
export async function writeServerManifest(
  { root, links }: Pick<TargetLayout, 'root' | 'links'>,
  stateFolder: string,
  manifest: ServerManifest,
  files: RestoredFileList,
): Promise<void> {
  const draft = path.join(stateFolder, SERVER_MANIFEST)
  await writeFileDurably(draft, formatServerManifest(manifest, files, secondPaths(root, links)))
  try {
    fs.renameSync(draft, path.join(root, SERVER_MANIFEST))
  } catch (error) {
    throw fromSystemError(error, 'put in place', path.join(root, SERVER_MANIFEST))
  }
}

/** The manifest in pieces; its last line is the SHA-256 of everything before. */
export async function* formatServerManifest(
  manifest: ServerManifest,
  files: RestoredFileList,
  ways: readonly SecondPath[] = [],
): AsyncGenerator<Uint8Array> {
  const { pgVersion, systemIdentifier, wal, checksums } = manifest
  const version = pgVersion >= VERSION_2_FROM ? 2 : 1
  const hash = createHash('sha256')
  const json = new JsonBytes()
  const take = (): Uint8Array => {
    const bytes = json.take()
    hash.update(bytes)
    return bytes
  }
  json.text(`{ "PostgreSQL-Backup-Manifest-Version": ${version},\n`)
  if (version === 2) json.text(`"System-Identifier": ${systemIdentifier},\n`)
  json.text('"Files": [\n')
  let separator = ''
  const unlisted = ways.filter(({ to }) => !isAnyBelow(files, to))
  for (let index = 0; index < files.length; index++) {
    const file = files.at(index)
    if (file === undefined || isLeftOut(file)) continue
    addFile(json.text(separator), file, checksums)
    separator = ',\n'
    for (const { from, to } of unlisted) {
      if (startsWith(file, from)) addFile(json.text(separator), renamed(file, from, to), checksums)
    }
    if (json.usedBytes >= PIECE_BYTES) yield take()
  }
  const { timeline, startLsn, endLsn } = wal
  const range = `"Start-LSN": "${formatLsn(startLsn)}", "End-LSN": "${formatLsn(endLsn)}"`
  json.text(`\n],\n"WAL-Ranges": [\n{ "Timeline": ${timeline}, ${range} }\n],\n`)
  yield take()
  yield json.text(`"Manifest-Checksum": "${hash.digest('hex')}"}\n`).take()
}

/** Names that begin with `from` lead to the same files with `to` in its place. */
interface SecondPath {
  readonly from: Uint8Array
  readonly to: Uint8Array
}

/**
 * pg_verifybackup follows the links in `pg_tblspc`, and so it meets the files of a tablespace twice that lies in the data directory or
 * within another one. It wants both names in the manifest.
 */
function secondPaths(root: string, links: Readonly<Record<string, string>>): SecondPath[] {
  const places = Object.entries(links).map(([link, location]) => ({
    link,
    real: resolveDestination(location),
  }))
  const ways: SecondPath[] = []
  const add = (from: string, to: string): void =>
    void ways.push({ from: encoder.encode(`${from}/`), to: encoder.encode(`${to}/`) })
  for (const { link, real } of places) {
    if (isBelow(real, root)) {
      const inside = path.relative(root, real)
      add(inside, link)
      // a backup over the wire has them under the name of the link
      add(link, inside)
    }
    for (const inner of places) {
      if (isBelow(inner.real, real)) add(inner.link, path.join(link, path.relative(real, inner.real)))
    }
  }
  return ways
}

function isBelow(inner: string, outer: string): boolean {
  return inner.startsWith(outer.endsWith('/') ? outer : `${outer}/`)
}

/** The backup has the files under this name, too: the original packs them twice. */
function isAnyBelow(files: RestoredFileList, folder: Uint8Array): boolean {
  for (let index = 0; index < files.length; index++) {
    const file = files.at(index)
    if (file !== undefined && startsWith(file, folder)) return true
  }
  return false
}

function renamed(file: RestoredFile, from: Uint8Array, to: Uint8Array): RestoredFile {
  const bytes = Buffer.concat([to, file.bytes.subarray(file.from + from.length, file.to)])
  return { ...file, bytes, from: 0, to: bytes.length }
}

/** What PostgreSQL's own base backups leave out of their manifests. */
function isLeftOut(file: RestoredFile): boolean {
  const length = file.to - file.from
  for (const name of LEFT_OUT) if (name.length === length && startsWith(file, name)) return true
  return startsWith(file, WAL_FOLDER)
}

function startsWith({ bytes, from, to }: RestoredFile, prefix: Uint8Array): boolean {
  if (to - from < prefix.length) return false
  for (let at = 0; at < prefix.length; at++) if (bytes[from + at] !== prefix[at]) return false
  return true
}

function addFile(json: JsonBytes, file: RestoredFile, checksums: ManifestChecksums): void {
  const { bytes, from, to } = file
  if (file.isOdd) json.text(`{ "Encoded-Path": "${bytes.subarray(from, to).toHex()}"`)
  else json.text('{ "Path": ').quoted(bytes, from, to)
  json.text(', "Size": ').number(file.sizeBytes)
  json.text(', "Last-Modified": "').text(formatTime(file.tarTime)).text(' GMT"')
  if (file.checksum !== undefined) {
    json.text(`, "Checksum-Algorithm": "${checksums.toUpperCase()}", "Checksum": "${file.checksum}"`)
  }
  json.text(' }')
}

let formatted: { readonly seconds: number; readonly text: string } = { seconds: Number.NaN, text: '' }

/** Neighbours often have the same time. */
function formatTime(seconds: number): string {
  if (formatted.seconds !== seconds) {
    formatted = { seconds, text: new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ') }
  }
  return formatted.text
}

function readLabel(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read', file)
  }
}
