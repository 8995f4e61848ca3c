import { join } from 'node:path'
import { systemClock } from '../kit/clock.ts'
import { fromSystemError, hasCode, WalgError } from '../kit/errors.ts'
import { readRegularFile } from '../kit/file-system.ts'
import { crc32c } from './crc32c.ts'
import { type Lsn, toLsn } from './lsn.ts'
import { type TimelineId, toTimelineId } from './wal-segment.ts'

/** What the server was doing when it last wrote pg_control. */
export type ClusterState =
  | 'starting up'
  | 'shut down'
  | 'shut down in recovery'
  | 'shutting down'
  | 'in crash recovery'
  | 'in archive recovery'
  | 'in production'

/** The fields of `global/pg_control` that this program needs; PostgreSQL 13 to 18. */
export interface ControlFile {
  readonly systemIdentifier: bigint
  /** PostgreSQL's own format number: 1300 for 13 to 16, then 1700, 1800. */
  readonly controlVersion: number
  readonly catalogVersion: number
  readonly state: ClusterState
  /** Last update, seconds since 1970. */
  readonly updatedAtSeconds: bigint
  readonly checkpointLsn: Lsn
  readonly redoLsn: Lsn
  /** When the last checkpoint began, seconds since 1970. */
  readonly checkpointTimeSeconds: bigint
  /** Timeline of the last checkpoint. */
  readonly timeline: TimelineId
  readonly previousTimeline: TimelineId
  /** 0 when the cluster needs no recovery up to a point. */
  readonly minRecoveryLsn: Lsn
  readonly minRecoveryTimeline: TimelineId
  readonly backupStartLsn: Lsn
  readonly backupEndLsn: Lsn
  readonly isBackupEndRequired: boolean
  /** Of the server that wrote it; a standby, and prepared transactions, need as much. */
  readonly maxConnections: number
  readonly maxWorkerProcesses: number
  readonly maxPreparedTransactions: number
  readonly maxLocksPerTransaction: number
  /** `wal_log_hints`: of the primary, in the file of a standby. */
  readonly hasLoggedHints: boolean
  readonly blockBytes: number
  /** Pages per relation file, 131072 unless built otherwise. */
  readonly blocksPerSegment: number
  readonly walBlockBytes: number
  readonly walSegmentBytes: number
  /** 0: data checksums are off. */
  readonly checksumVersion: number
}

const STATES: readonly ClusterState[] = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
]

/** Where the checksum of all bytes before it lies, by format number. */
const CRC_OFFSETS: ReadonlyMap<number, number> = new Map([
  [1300, 288],
  [1700, 288],
  [1800, 292],
])
const CONTROL_BYTES_MIN = 296
/** PostgreSQL keeps the content within one disk sector. */
const CRC_OFFSET_MAX = 512
const CONTROL_VERSION_KNOWN_MAX = 1800
const READS_MAX = 10
const READ_PAUSE_MS = 10

/**
 * Reads `global/pg_control` below a data directory; again, when a server was just writing it. Throws as
 * `parseControlFile`, and FILE_NOT_FOUND or FILE_ACCESS.
 */
export async function readControlFile(dataDirectory: string): Promise<ControlFile> {
  const path = join(dataDirectory, 'global', 'pg_control')
  for (let attempt = 1; ; attempt++) {
    const bytes = readBytes(path)
    try {
      return parseControlFile(bytes, path)
    } catch (error) {
      if (!hasCode(error, 'CHECKSUM_MISMATCH') || attempt === READS_MAX) throw error
      await systemClock.sleep(READ_PAUSE_MS)
    }
  }
}

function readBytes(path: string): Uint8Array {
  try {
    return readRegularFile(path)
  } catch (error) {
    throw fromSystemError(error, 'read', path)
  }
}

/**
 * Decodes pg_control. A format newer than the known ones is taken when its checksum is found and its sizes make
 * sense at the places of today. Throws FORMAT_TRUNCATED, CHECKSUM_MISMATCH, VERSION_UNSUPPORTED.
 */
export function parseControlFile(bytes: Uint8Array, path: string = 'pg_control'): ControlFile {
  if (bytes.length < CONTROL_BYTES_MIN) {
    throw new WalgError('FORMAT_TRUNCATED', `"${path}" has ${bytes.length} bytes, too few for pg_control`, {
      facts: { path, sizeBytes: bytes.length },
    })
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const controlVersion = view.getUint32(8, true)
  const crcOffset = CRC_OFFSETS.get(controlVersion) ?? findCrc(bytes, view, controlVersion)
  if (crcOffset === undefined) throw versionUnsupported(path, controlVersion)
  if (crc32c(bytes.subarray(0, crcOffset)) !== view.getUint32(crcOffset, true)) {
    throw new WalgError('CHECKSUM_MISMATCH', `the checksum of "${path}" does not match its content`, {
      facts: { path },
      hint: 'it was read while being written, or it is damaged; pg_controldata shows what PostgreSQL thinks of it',
    })
  }
  const sizes = [view.getUint32(216, true), view.getUint32(224, true), view.getUint32(228, true)]
  if (!sizes.every(isPowerOfTwo)) throw versionUnsupported(path, controlVersion)
  return decodeFields(view, controlVersion, path)
}

/** Fields are only ever added at the end; the checksum comes after the last one. */
function findCrc(bytes: Uint8Array, view: DataView, controlVersion: number): number | undefined {
  if (controlVersion < CONTROL_VERSION_KNOWN_MAX) return undefined
  for (let offset = CONTROL_BYTES_MIN; offset + 4 <= Math.min(bytes.length, CRC_OFFSET_MAX); offset += 4) {
    if (crc32c(bytes.subarray(0, offset)) === view.getUint32(offset, true)) return offset
  }
  return undefined
}

function isPowerOfTwo(value: number): boolean {
  return value >= 1024 && (value & (value - 1)) === 0
}

function decodeFields(view: DataView, controlVersion: number, path: string): ControlFile {
  const lsn = (offset: number): Lsn => toLsn(view.getBigUint64(offset, true))
  const u32 = (offset: number): number => view.getUint32(offset, true)
  const state = STATES[u32(16)]
  if (state === undefined) {
    throw new WalgError('FORMAT_INVALID', `"${path}" names an unknown state ${u32(16)}`, { facts: { path } })
  }
  return {
    systemIdentifier: view.getBigUint64(0, true),
    controlVersion,
    catalogVersion: u32(12),
    state,
    updatedAtSeconds: view.getBigInt64(24, true),
    checkpointLsn: lsn(32),
    redoLsn: lsn(40),
    checkpointTimeSeconds: view.getBigInt64(104, true),
    timeline: toTimelineId(u32(48)),
    previousTimeline: toTimelineId(u32(52)),
    minRecoveryLsn: lsn(136),
    minRecoveryTimeline: toTimelineId(u32(144)),
    backupStartLsn: lsn(152),
    backupEndLsn: lsn(160),
    isBackupEndRequired: view.getUint8(168) !== 0,
    hasLoggedHints: view.getUint8(176) !== 0,
    maxConnections: u32(180),
    maxWorkerProcesses: u32(184),
    maxPreparedTransactions: u32(192),
    maxLocksPerTransaction: u32(196),
    blockBytes: u32(216),
    blocksPerSegment: u32(220),
    walBlockBytes: u32(224),
    walSegmentBytes: u32(228),
    checksumVersion: u32(252),
  }
}

function versionUnsupported(path: string, controlVersion: number): WalgError {
  return new WalgError('VERSION_UNSUPPORTED', `"${path}" has the unknown format ${controlVersion}`, {
    facts: { path, controlVersion },
    hint: 'the formats of PostgreSQL 13 to 18 are known (1300, 1700, 1800)',
  })
}
