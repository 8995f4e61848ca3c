import { WalgError } from '../kit/errors.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import { type TimelineId, toTimelineId } from './wal-segment.ts'

/** What `backup_label` says (storage-format 1.8; the lines are PostgreSQL's own). */
export interface BackupLabel {
  readonly startLsn: Lsn
  /** Name of the segment that holds `startLsn`. */
  readonly startWalFile: string
  readonly checkpointLsn: Lsn
  readonly backupMethod: string
  /** `primary` (`master` before PostgreSQL 14) or `standby`. */
  readonly backupFrom: string
  /** As the server wrote it, in its own time zone. */
  readonly startTimeText: string
  readonly label: string
  /** From PostgreSQL 11 on. */
  readonly startTimeline: TimelineId | undefined
  /** PostgreSQL 17 and later, only in the label of an incremental backup. */
  readonly incrementalFromLsn: Lsn | undefined
  readonly incrementalFromTimeline: TimelineId | undefined
}

/** Parses the content of `backup_label`. Throws FORMAT_INVALID, naming the missing or odd line. */
export function parseBackupLabel(text: string): BackupLabel {
  const fields = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(': ')
    // a label may contain line ends of its own making; the first line of a name wins
    if (colon > 0 && !fields.has(line.slice(0, colon)))
      fields.set(line.slice(0, colon), line.slice(colon + 2))
  }
  const start = /^([0-9A-Fa-f]+\/[0-9A-Fa-f]+) \(file ([0-9A-F]{24})\)$/.exec(
    fields.get('START WAL LOCATION') ?? '',
  )
  if (start === null) throw labelInvalid('START WAL LOCATION')
  const checkpoint = fields.get('CHECKPOINT LOCATION')
  if (checkpoint === undefined) throw labelInvalid('CHECKPOINT LOCATION')
  const incrementalFrom = fields.get('INCREMENTAL FROM LSN')
  return {
    startLsn: parseLsn(start[1]!),
    startWalFile: start[2]!,
    checkpointLsn: parseLsn(checkpoint),
    backupMethod: fields.get('BACKUP METHOD') ?? '',
    backupFrom: fields.get('BACKUP FROM') ?? '',
    startTimeText: fields.get('START TIME') ?? '',
    label: fields.get('LABEL') ?? '',
    startTimeline: parseTimeline(fields, 'START TIMELINE'),
    incrementalFromLsn: incrementalFrom === undefined ? undefined : parseLsn(incrementalFrom),
    incrementalFromTimeline: parseTimeline(fields, 'INCREMENTAL FROM TLI'),
  }
}

/** Formats a label as PostgreSQL does: what `parseBackupLabel` reads. */
export function formatBackupLabel(label: BackupLabel): string {
  const lines = [
    `START WAL LOCATION: ${formatLsn(label.startLsn)} (file ${label.startWalFile})`,
    `CHECKPOINT LOCATION: ${formatLsn(label.checkpointLsn)}`,
    `BACKUP METHOD: ${label.backupMethod}`,
    `BACKUP FROM: ${label.backupFrom}`,
    `START TIME: ${label.startTimeText}`,
    `LABEL: ${label.label}`,
  ]
  if (label.startTimeline !== undefined) lines.push(`START TIMELINE: ${label.startTimeline}`)
  if (label.incrementalFromLsn !== undefined) {
    lines.push(`INCREMENTAL FROM LSN: ${formatLsn(label.incrementalFromLsn)}`)
    if (label.incrementalFromTimeline !== undefined) {
      lines.push(`INCREMENTAL FROM TLI: ${label.incrementalFromTimeline}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function parseTimeline(fields: ReadonlyMap<string, string>, name: string): TimelineId | undefined {
  const text = fields.get(name)
  if (text === undefined) return undefined
  if (!/^\d{1,10}$/.test(text)) throw labelInvalid(name)
  return toTimelineId(Number(text))
}

function labelInvalid(line: string): WalgError {
  return new WalgError('FORMAT_INVALID', `backup_label has no usable line "${line}"`, { facts: { line } })
}

/** `<segment>.<offset>.backup`: what pg_backup_stop of a primary writes into pg_wal, to be archived. Source: `BackupHistoryFileName` of xlog_internal.h. */
export function formatBackupHistoryName(
  startWalFile: string,
  startLsn: Lsn,
  walSegmentBytes: number,
): string {
  const offset = startLsn % BigInt(walSegmentBytes)
  return `${startWalFile}.${offset.toString(16).toUpperCase().padStart(8, '0')}.backup`
}

/** Where the backup ended, as such a file says; undefined when it does not. */
export function parseStopLsn(text: string): Lsn | undefined {
  const stop = /^STOP WAL LOCATION: ([0-9A-Fa-f]+\/[0-9A-Fa-f]+) /m.exec(text)
  return stop === null ? undefined : parseLsn(stop[1]!)
}
