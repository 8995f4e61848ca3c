import type { Inventory, InventoryBackup } from '../../src/operations/delete/inventory.ts'
import type { PlanOptions } from '../../src/operations/delete/request.ts'
import type { StoredObject } from '../../src/operations/delete/stored-object.ts'
import { toLsn } from '../../src/postgres/lsn.ts'
import { type BackupName, formatBackupName, walFileOfName } from '../../src/repository/backup-name.ts'
import { metadataKey, partKey, sentinelKey, walKey } from '../../src/repository/layout.ts'

export const SEGMENT_BYTES: number = 16 << 20
const HOUR_NS = 3_600_000_000_000n

/** One backup of a made-up repository; times in hours. */
export interface MadeBackup {
  readonly hour: number
  readonly timeline?: number
  readonly segment: number
  readonly base?: BackupName
  readonly full?: BackupName
  readonly isPermanent?: boolean
  readonly isBroken?: boolean
  readonly userData?: string
}

export function hourNs(hour: number): bigint {
  return BigInt(Math.round(hour * 3600)) * 1_000_000_000n
}

export function walName(timeline: number, segment: number): string {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
  return hex(timeline) + hex(Math.floor(segment / 256)) + hex(segment % 256)
}

export function madeBackup(made: MadeBackup): InventoryBackup {
  const walFile = walName(made.timeline ?? 1, made.segment)
  const name = formatBackupName(walFile, made.base)
  const startLsn = toLsn(BigInt(made.segment) * BigInt(SEGMENT_BYTES) + 40n)
  return {
    name,
    sentinelModifiedNs: hourNs(made.hour) + HOUR_NS / 10n,
    startNs: hourNs(made.hour),
    isStartKnown: true,
    finishNs: hourNs(made.hour) + HOUR_NS / 10n,
    walFile: walFileOfName(name),
    startLsn,
    finishLsn: toLsn(startLsn + 400n),
    isIncremental: made.base !== undefined,
    bases: made.base === undefined ? [] : [made.base, made.full ?? made.base],
    full: made.base === undefined ? null : (made.full ?? made.base),
    deltaCount: made.base === undefined ? 0 : 1,
    isPermanent: made.isPermanent === true,
    systemIdentifier: 1n,
    userData: made.userData ?? null,
    damage: made.isBroken === true ? 'damaged' : null,
  }
}

/** Backups with their objects, and WAL: `[timeline, segment, hour]`. Other objects: key and hour. */
export function madeInventory(
  backups: readonly InventoryBackup[],
  wal: readonly (readonly [number, number, number])[],
  others: readonly (readonly [string, number])[] = [],
): Inventory {
  const object = (key: string, modifiedNs: bigint): StoredObject => ({ key, sizeBytes: 10, modifiedNs })
  const objects = [
    ...backups.flatMap(({ name, startNs, sentinelModifiedNs }) => [
      object(sentinelKey(name), sentinelModifiedNs),
      object(metadataKey(name), startNs),
      object(partKey(name, 'part_001.tar.lz4'), startNs),
    ]),
    ...wal.map(([timeline, segment, hour]) =>
      object(walKey(walName(timeline, segment), 'lz4'), hourNs(hour)),
    ),
    ...others.map(([key, hour]) => object(key, hourNs(hour))),
  ]
  const sorted = backups.toSorted((left, right) => (left.startNs < right.startNs ? -1 : 1))
  return { storageName: 'default', backups: sorted, objects }
}

export function planOptions(nowHour: number): PlanOptions {
  return {
    segmentBytes: SEGMENT_BYTES,
    garbageMinAgeMs: 24 * 3_600_000,
    nowNs: hourNs(nowHour),
    isStartTimeUsed: false,
  }
}
