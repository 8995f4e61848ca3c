import { type JsonValue, writeJson } from '../../kit/json.ts'
import { formatByteSize } from '../../kit/sizes.ts'
import { formatTimestampSeconds, timestampFromNs } from '../../kit/timestamp.ts'
import type { BackupReport, Finding, ObjectCounts, VerifyReport } from '../../operations/verify/options.ts'

/** For people: a line for each backup, then what was found. */
export function renderVerifyText(report: VerifyReport): string {
  const lines = report.backups.map(backupLine)
  for (const finding of report.findings) lines.push(findingLine(finding))
  lines.push(`verify: ${report.status}`)
  return `${lines.join('\n')}\n`
}

function backupLine(backup: BackupReport): string {
  const { name, isGood, hasHashes, parts, wal, verifiedNs } = backup
  const state = !isGood ? 'DAMAGED' : parts.left + wal.left > 0 ? 'good so far' : 'good'
  const since = verifiedNs === null ? '' : `, whole since ${timeText(verifiedNs)}`
  const hashes = hasHashes ? '' : ', without hashes'
  return `${name}: ${state} (parts ${countsText(parts)}; WAL ${countsText(wal)}${hashes}${since})`
}

function countsText({ count, sizeBytes, verified, trusted, damaged, left }: ObjectCounts): string {
  const pieces = [
    `${verified} of ${count} read`,
    ...(trusted > 0 ? [`${trusted} known to be good`] : []),
    ...(damaged > 0 ? [`${damaged} damaged or missing`] : []),
    ...(left > 0 ? [`${left} not read yet`] : []),
  ]
  return `${pieces.join(', ')}, ${formatByteSize(sizeBytes)}`
}

function findingLine({ severity, backup, object, message }: Finding): string {
  const subject = object ?? backup ?? 'the archive'
  return `${severity.toUpperCase()}: ${subject}: ${message}`
}

/** For machines: one object on one line. */
export function renderVerifyJson(report: VerifyReport): string {
  const document: JsonValue = {
    status: report.status,
    storage_name: report.storageName,
    began: timeText(report.beganNs),
    ended: timeText(report.endedNs),
    backups: report.backups.map(({ name, isGood, hasHashes, parts, wal, verifiedNs }) => ({
      backup_name: name,
      is_good: isGood,
      has_hashes: hasHashes,
      parts: countsJson(parts),
      wal: countsJson(wal),
      verified_since: verifiedNs === null ? null : timeText(verifiedNs),
    })),
    findings: report.findings.map(({ severity, backup, object, message }) => ({
      severity,
      backup_name: backup,
      object,
      message,
    })),
  }
  return `${writeJson(document)}\n`
}

function countsJson(counts: ObjectCounts): JsonValue {
  return {
    count: counts.count,
    bytes: counts.sizeBytes,
    verified: counts.verified,
    verified_bytes: counts.verifiedBytes,
    trusted: counts.trusted,
    damaged: counts.damaged,
    left: counts.left,
  }
}

function timeText(ns: bigint): string {
  return formatTimestampSeconds(timestampFromNs(ns))
}
