import { openCodec } from '../../codec/open-codec.ts'
import { type JsonValue, writeJson } from '../../kit/json.ts'
import { silentLogger } from '../../kit/log.ts'
import { MIB } from '../../kit/sizes.ts'
import { backupList, type ListedBackup } from '../../operations/backup-list/backup-list.ts'
import { type ShownTimeline, walShow } from '../../operations/wal-show/wal-show.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import { formatSegmentName, segmentOfLsn } from '../../postgres/wal-segment.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { formatAlignedBox } from '../render/aligned-box.ts'
import { listedBackupJson } from './backup-list.ts'

export const command: CommandDefinition = {
  name: 'wal-show',
  usage: 'wal-show',
  summary: 'Show storage WAL segments info grouped by timelines.',
  positionals: { kind: 'none' },
  flags: [
    { name: 'detailed-json', type: 'boolean', doc: 'Output detailed information in JSON format.' },
    { name: 'without-backups', type: 'boolean', doc: 'Disable backups lookup for each timeline.' },
  ],
  needsStorage: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const { log, signal, flags, settings } = invocation
    const segmentBytes = settings.WALG_PG_WAL_SIZE * MIB
    const storage = await invocation.openStorage()
    try {
      const codec = openCodec(invocation.codecDescription)
      const timelines = await walShow({ storage, codec, signal, log }, { segmentBytes })
      let backups: readonly ListedBackup[] | null = null
      if (flags['without-backups'] !== true) {
        const quiet = { ...silentLogger, warning: log.warning, error: log.error }
        backups = (await backupList({ storage, log: quiet, signal }, { detail: true })).toReversed()
        if (backups.length === 0) log.info('No backups found in storage.')
      }
      const isJson = flags['detailed-json'] === true
      await invocation.print((isJson ? renderJson : renderTable)(timelines, backups, segmentBytes))
      return 0
    } finally {
      await storage.close()
    }
  },
}

/** Backups that begin and end within the segments of a timeline. */
function backupsOf(
  { timeline, startSegment, endSegment }: ShownTimeline,
  backups: readonly ListedBackup[],
  segmentBytes: number,
): ListedBackup[] {
  return backups.filter(({ walFile, detail }) => {
    const { startLsn, finishLsn } = detail ?? {}
    if (startLsn == null || finishLsn == null || Number.parseInt(walFile.slice(0, 8), 16) !== timeline)
      return false
    const first = formatSegmentName(segmentOfLsn(timeline, startLsn, segmentBytes), segmentBytes)
    const last = formatSegmentName(segmentOfLsn(timeline, finishLsn, segmentBytes), segmentBytes)
    return first >= startSegment && last <= endSegment
  })
}

function renderTable(
  timelines: readonly ShownTimeline[],
  backups: readonly ListedBackup[] | null,
  segmentBytes: number,
): string {
  const columns = [
    { title: 'TLI', isRight: true },
    { title: 'PARENT TLI', isRight: true },
    { title: 'SWITCHPOINT LSN', isRight: true },
    { title: 'START SEGMENT' },
    { title: 'END SEGMENT' },
    { title: 'SEGMENT RANGE', isRight: true },
    { title: 'SEGMENTS COUNT', isRight: true },
    { title: 'STATUS' },
    ...(backups === null ? [] : [{ title: 'BACKUPS COUNT', isRight: true }]),
  ]
  const rows = timelines.map(shown => [
    String(shown.timeline),
    String(shown.parent),
    formatLsn(shown.switchLsn),
    shown.startSegment,
    shown.endSegment,
    String(shown.rangeCount),
    String(shown.segmentsCount),
    shown.status,
    ...(backups === null ? [] : [String(backupsOf(shown, backups, segmentBytes).length)]),
  ])
  return formatAlignedBox(columns, rows)
}

function renderJson(
  timelines: readonly ShownTimeline[],
  backups: readonly ListedBackup[] | null,
  segmentBytes: number,
): string {
  const document = timelines.map((shown): JsonValue => {
    const own = backups === null ? [] : backupsOf(shown, backups, segmentBytes)
    return {
      id: shown.timeline,
      parent_id: shown.parent,
      switch_point_lsn: shown.switchLsn,
      start_segment: shown.startSegment,
      end_segment: shown.endSegment,
      segments_count: shown.segmentsCount,
      missing_segments: [...shown.missing],
      backups: own.length === 0 ? undefined : own.map(backupJson),
      segment_range_size: shown.rangeCount,
      status: shown.status,
    }
  })
  return writeJson(document)
}

/** As in `backup-list --detail --json`, without our own members. */
function backupJson(backup: ListedBackup): JsonValue {
  return { ...listedBackupJson(backup, true), backup_type: undefined, encryption: undefined }
}
