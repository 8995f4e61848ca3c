import type { WalObject } from '../../repository/wal-catalog.ts'
import type { OperationContext } from '../context.ts'
import type { Findings } from './findings.ts'
import type { InspectedBackup } from './inspect-backup.ts'
import type { Memory } from './memory.ts'
import type { BackupReport, ObjectCounts, VerifyReport } from './options.ts'
import type { VerifiedObjects, WorkItem, WorkPlan } from './plan-work.ts'

export interface Outcome {
  readonly plan: WorkPlan
  readonly good: Set<string>
  readonly damaged: Set<string>
}

interface ReportFacts {
  readonly context: Pick<OperationContext, 'storage'>
  readonly backups: readonly InspectedBackup[]
  /** Names of the segments each backup needs. */
  readonly segments: ReadonlyMap<string, readonly string[]>
  /** Those of them that the archive has. */
  readonly objects: ReadonlyMap<string, WalObject>
  readonly outcome: Outcome
  readonly findings: Findings
  readonly memory: Memory
  readonly beganNs: bigint
  readonly endedNs: bigint
}

/** What was looked at and what was found, backup by backup. */
export function makeReport(facts: ReportFacts): VerifyReport {
  const { context, backups, findings, beganNs, endedNs } = facts
  const verified = facts.memory.verified
  const trusted = new Set(facts.outcome.plan.trusted.map(({ key }) => key))
  return {
    status: findings.hasErrors ? 'FAILURE' : 'OK',
    storageName: context.storage.name,
    beganNs,
    endedNs,
    backups: backups.map(inspected => reportOf(inspected, { ...facts, verified, trusted })),
    findings: findings.all,
  }
}

interface LookedUp extends ReportFacts {
  readonly verified: VerifiedObjects
  /** Keys of the objects that were not read now. */
  readonly trusted: ReadonlySet<string>
}

function reportOf(inspected: InspectedBackup, facts: LookedUp): BackupReport {
  const { name, document } = inspected.backup
  const files = facts.segments.get(name) ?? []
  const objects = files.flatMap(file => facts.objects.get(file) ?? [])
  const missing = files.length - objects.length
  const times = [...inspected.parts, ...objects].map(({ key }) => facts.verified.get(key)?.verifiedNs ?? null)
  const isComplete = missing === 0 && times.every(time => time !== null)
  return {
    name,
    isGood: facts.findings.isGood(name),
    hasHashes: document.sentinel.contentManifest !== null,
    parts: countObjects(inspected.parts, 0, facts),
    wal: countObjects(objects, missing, facts),
    verifiedNs: isComplete ? times.reduce<bigint | null>(oldest, null) : null,
  }
}

function oldest(left: bigint | null, right: bigint | null): bigint | null {
  return left === null || (right !== null && right < left) ? right : left
}

function countObjects(
  objects: readonly Pick<WorkItem, 'key' | 'sizeBytes'>[],
  missing: number,
  { outcome: { good, damaged }, trusted }: LookedUp,
): ObjectCounts {
  const isGood = objects.filter(({ key }) => good.has(key))
  const sum = (some: readonly { readonly sizeBytes: number }[]): number =>
    some.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
  const trustedCount = objects.filter(({ key }) => trusted.has(key)).length
  const damagedCount = objects.filter(({ key }) => damaged.has(key)).length
  return {
    count: objects.length + missing,
    sizeBytes: sum(objects),
    verified: isGood.length,
    verifiedBytes: sum(isGood),
    trusted: trustedCount,
    damaged: damagedCount + missing,
    left: objects.length - isGood.length - trustedCount - damagedCount,
  }
}
