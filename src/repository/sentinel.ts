import type { ByteStream } from '../kit/bytes.ts'
import { WalgError } from '../kit/errors.ts'
import { checkJson, JsonMembers, type JsonValue, writeJson } from '../kit/json.ts'
import { splitJson } from '../kit/json-stream.ts'
import {
  epochNs,
  formatTimestamp,
  parseTimestamp,
  type Timestamp,
  timestampFromNs,
  ZERO_TIME,
} from '../kit/timestamp.ts'
import { type Lsn, toLsn } from '../postgres/lsn.ts'
import { type BackupName, toBackupName } from './backup-name.ts'
import { DATE_FORMAT } from './date-format.ts'
import { FilesMetadata } from './files-metadata.ts'
import { addPiece, isFilesMember } from './files-metadata-document.ts'
import { formatTablespaceSpec, parseTablespaceSpec, type TablespaceSpec } from './tablespace-spec.ts'

/** Where a delta hangs (storage-format 2.1): all four are always there together. */
export interface DeltaLink {
  /** The parent's start LSN: increments hold pages with this LSN or later. */
  readonly lsn: Lsn
  readonly parent: BackupName
  readonly full: BackupName
  /** 1 for the first delta after a full. */
  readonly count: number
}

/** Ours: where the content manifest lies and what it must be, so that a lost one is noticed. */
export interface ContentManifestLink {
  /** Relative to `<BACKUP>/`. */
  readonly object: string
  readonly sizeBytes: number
  /** Of the stored bytes, `xxh3-128:<hex>`. */
  readonly hash: string
  /** Of a delta: the hash of the parent's content manifest, so that another parent is noticed. */
  readonly parentHash?: string
  /** What the backup is sealed with; absent when it is not. */
  readonly encryption?: SealedWith
}

/** Method and fingerprint of a key: enough to find the key, nothing to open with. */
export interface SealedWith {
  readonly method: string
  readonly key: string
}

/** `<BACKUP>_backup_stop_sentinel.json`, any version, with exact numbers. */
export interface Sentinel {
  /** Start LSN; null only in foreign sentinels. */
  readonly lsn: Lsn | null
  readonly finishLsn: Lsn | null
  readonly delta: DeltaLink | null
  /** `DeltaLSN` of a catchup backup, which has no parent (`DeltaFrom` is empty there). */
  readonly catchupFromLsn?: Lsn
  readonly pgVersion: number
  readonly systemIdentifier: bigint | null
  readonly uncompressedSizeBytes: number
  readonly compressedSizeBytes: number
  /** 0 = not known. */
  readonly dataCatalogSizeBytes: number
  readonly spec: TablespaceSpec | null
  /** Valid JSON text, exactly as stored; null when absent. */
  readonly userData: string | null
  readonly isFilesMetadataDisabled: boolean
  /** 2, or 0 for sentinels of WAL-G 1.1 and older and WAL-E. */
  readonly version: number
  readonly startTime: Timestamp | null
  readonly finishTime: Timestamp | null
  readonly hostname: string
  readonly dataDirectory: string
  /** At creation; `metadata.json` is the authority. */
  readonly isPermanent: boolean
  readonly contentManifest: ContentManifestLink | null
}

/** A sentinel with what a version 1 sentinel carries inline. */
export interface SentinelDocument {
  readonly sentinel: Sentinel
  /** `Files`/`TarFileSets` of a version 1 sentinel; null when it has none. */
  readonly inlineFiles: FilesMetadata | null
}

/**
 * The text of a version 2 sentinel, keys in the original's order and `ContentManifest` behind them. The version
 * given is ignored: it is always 2. Throws FORMAT_INVALID for user data that is no JSON.
 */
export function formatSentinel(sentinel: Sentinel): string {
  const { contentManifest, catchupFromLsn } = sentinel
  const delta =
    sentinel.delta ??
    (catchupFromLsn === undefined ? null : { lsn: catchupFromLsn, parent: '', full: '', count: 1 })
  if (sentinel.userData !== null) checkJson(sentinel.userData)
  const document: Record<string, JsonValue | undefined> = {
    LSN: sentinel.lsn,
    DeltaLSN: delta?.lsn,
    DeltaFrom: delta?.parent,
    DeltaFullName: delta?.full,
    DeltaCount: delta?.count,
    PgVersion: sentinel.pgVersion,
    FinishLSN: sentinel.finishLsn,
    SystemIdentifier: sentinel.systemIdentifier ?? undefined,
    UncompressedSize: sentinel.uncompressedSizeBytes,
    CompressedSize: sentinel.compressedSizeBytes,
    DataCatalogSize: sentinel.dataCatalogSizeBytes === 0 ? undefined : sentinel.dataCatalogSizeBytes,
    Spec: sentinel.spec === null ? undefined : formatTablespaceSpec(sentinel.spec),
    UserData: sentinel.userData === null ? undefined : { rawJson: sentinel.userData },
    FilesMetadataDisabled: sentinel.isFilesMetadataDisabled ? true : undefined,
    ChkpNum: null,
    Version: 2,
    StartTime: formatUtc(sentinel.startTime),
    FinishTime: formatUtc(sentinel.finishTime),
    DateFmt: DATE_FORMAT,
    Hostname: sentinel.hostname,
    DataDir: sentinel.dataDirectory,
    IsPermanent: sentinel.isPermanent,
    ContentManifest:
      contentManifest === null
        ? undefined
        : {
            Object: contentManifest.object,
            Size: contentManifest.sizeBytes,
            Hash: contentManifest.hash,
            Parent: contentManifest.parentHash,
            Encryption:
              contentManifest.encryption === undefined
                ? undefined
                : { Method: contentManifest.encryption.method, Key: contentManifest.encryption.key },
          },
  }
  return writeJson(document, 'v1')
}

/**
 * Reads a sentinel of any version, streamed: one of version 1 holds a list of all files. Throws BACKUP_BROKEN
 * naming `key` when it is empty, cut, no JSON or contradicts itself.
 */
export async function readSentinelDocument(key: string, body: ByteStream): Promise<SentinelDocument> {
  const members = new JsonMembers()
  let inlineFiles: FilesMetadata | null = null
  try {
    for await (const piece of splitJson(body, { isGrouped: isFilesMember })) {
      if (piece.kind === 'group') {
        inlineFiles ??= new FilesMetadata()
        addPiece(inlineFiles, piece)
      } else {
        checkJson(piece.text)
        members.add(piece.key, piece.text)
      }
    }
    return { sentinel: parseMembers(members), inlineFiles }
  } catch (error) {
    if (!(error instanceof WalgError) || !error.code.startsWith('FORMAT_')) throw error
    throw new WalgError('BACKUP_BROKEN', `the sentinel "${key}" is damaged: ${error.message}`, {
      facts: { key },
      cause: error,
      hint: 'use another backup, or bring this object back from a copy of the repository',
    })
  }
}

function parseMembers(members: JsonMembers): Sentinel {
  const startTime = members.string('StartTime')
  const finishTime = members.string('FinishTime')
  const specText = members.raw('Spec')
  const delta = parseDelta(members)
  const catchupFromLsn = delta === null ? parseLsnNumber(members, 'DeltaLSN') : null
  return {
    lsn: parseLsnNumber(members, 'LSN'),
    finishLsn: parseLsnNumber(members, 'FinishLSN'),
    delta,
    ...(catchupFromLsn === null ? {} : { catchupFromLsn }),
    pgVersion: members.integer('PgVersion') ?? 0,
    systemIdentifier: members.bigint('SystemIdentifier') ?? null,
    uncompressedSizeBytes: members.integer('UncompressedSize') ?? 0,
    compressedSizeBytes: members.integer('CompressedSize') ?? 0,
    dataCatalogSizeBytes: members.integer('DataCatalogSize') ?? 0,
    spec: specText === undefined ? null : parseTablespaceSpec(specText),
    userData: members.raw('UserData') ?? null,
    isFilesMetadataDisabled: members.boolean('FilesMetadataDisabled') ?? false,
    version: members.integer('Version') ?? 0,
    startTime: startTime === undefined ? null : parseTimestamp(startTime),
    finishTime: finishTime === undefined ? null : parseTimestamp(finishTime),
    hostname: members.string('Hostname') ?? '',
    dataDirectory: members.string('DataDir') ?? '',
    isPermanent: members.boolean('IsPermanent') ?? false,
    contentManifest: parseContentManifestLink(members),
  }
}

/** `catchup-push` stores `DeltaLSN` with empty names: that is no link to a parent. */
function parseDelta(members: JsonMembers): DeltaLink | null {
  const parent = members.string('DeltaFrom') ?? ''
  if (parent === '') return null
  const lsn = parseLsnNumber(members, 'DeltaLSN') ?? parseLsnNumber(members, 'DeltaFromLSN')
  const full = members.string('DeltaFullName') ?? ''
  const count = members.integer('DeltaCount')
  if (lsn === null || full === '' || count === undefined) {
    throw new WalgError('FORMAT_INVALID', '"DeltaFrom" without "DeltaLSN", "DeltaFullName" and "DeltaCount"')
  }
  return { lsn, parent: toBackupName(parent), full: toBackupName(full), count }
}

function parseContentManifestLink(members: JsonMembers): ContentManifestLink | null {
  const link = members.object('ContentManifest')
  if (link === undefined) return null
  const object = link.string('Object')
  const sizeBytes = link.integer('Size')
  const hash = link.string('Hash')
  if (object === undefined || sizeBytes === undefined || hash === undefined) {
    throw new WalgError('FORMAT_INVALID', '"ContentManifest" without "Object", "Size" and "Hash"')
  }
  const parentHash = link.string('Parent')
  const known = { object, sizeBytes, hash, ...(parentHash === undefined ? {} : { parentHash }) }
  const encryption = link.object('Encryption')
  if (encryption === undefined) return known
  const method = encryption.string('Method')
  const key = encryption.string('Key')
  if (method === undefined || key === undefined) {
    throw new WalgError('FORMAT_INVALID', '"Encryption" without "Method" and "Key"')
  }
  return { ...known, encryption: { method, key } }
}

function parseLsnNumber(members: JsonMembers, key: string): Lsn | null {
  const value = members.bigint(key)
  return value === undefined ? null : toLsn(value)
}

function formatUtc(time: Timestamp | null): string {
  return formatTimestamp(time === null ? ZERO_TIME : timestampFromNs(epochNs(time)))
}
