import { openCodec } from '../../codec/open-codec.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import { openHasher } from '../../kit/hash.ts'
import { nowNs } from '../../kit/timestamp.ts'
import type { WalObject } from '../../repository/wal-catalog.ts'
import type { OperationContext } from '../context.ts'
import { chooseBackups } from './choose-backups.ts'
import { Findings, isFinding } from './findings.ts'
import { carriesSegment, checkAgainstParent, type InspectedBackup, inspectBackup } from './inspect-backup.ts'
import { Memory } from './memory.ts'
import type { VerifyOptions, VerifyReport } from './options.ts'
import { PartReader } from './part-reader.ts'
import { planWork, type WorkItem } from './plan-work.ts'
import type { ReadLane } from './read-object.ts'
import { WalReader } from './read-wal.ts'
import { makeReport, type Outcome } from './report.ts'
import { neededSegments, readWalArchive } from './wal-range.ts'

/** Parts that are read side by side. */
const LANES = 2

/**
 * Reads the repository itself and tells whether it can be restored from: documents, chains, every byte of the parts,
 * and the WAL between start and end of each backup. Damage becomes a finding; only trouble that keeps from looking
 * (a storage that does not answer, the signal) is thrown. What was found good is remembered in the repository.
 */
export async function verify(context: OperationContext, options: VerifyOptions): Promise<VerifyReport> {
  const { progress } = context
  const findings = new Findings()
  const beganNs = options.nowNs
  const { backups, segments, objects } = await inspectDocuments(context, options, findings)
  const wal = walItems(backups, segments, objects, findings)
  const memory = await Memory.read(context, backups)
  const plan = planWork([...backups.flatMap(({ parts }) => parts), ...wal], memory.verified, options)
  const outcome: Outcome = { plan, damaged: new Set(), good: new Set() }
  progress.begin(
    'verify',
    plan.read.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  )
  try {
    const walOf = (inspected: InspectedBackup): WalObject[] =>
      (segments.get(inspected.backup.name) ?? []).flatMap(file => objects.get(file) ?? [])
    const lanes = openLanes(context)
    await readParts(context, lanes, backups, walOf, outcome, findings, memory, options)
    await readWal(context, lanes[0], backups, objects, outcome, findings, memory)
  } catch (error) {
    // what was verified until then is kept; the first failure is the one to tell
    await memory.save().catch(() => {})
    throw error
  } finally {
    progress.end()
  }
  await memory.save()
  return makeReport({
    context,
    backups,
    segments,
    objects,
    outcome,
    findings,
    memory,
    beganNs,
    endedNs: nowNs(),
  })
}

interface Inspected {
  readonly backups: readonly InspectedBackup[]
  /** Names of the segments each backup needs. */
  readonly segments: ReadonlyMap<string, readonly string[]>
  /** Those of them that the archive has. What else it has is not kept: that can be a million objects. */
  readonly objects: ReadonlyMap<string, WalObject>
}

/** Everything but the bytes: listings, documents, and which WAL each backup needs. */
async function inspectDocuments(
  context: OperationContext,
  options: VerifyOptions,
  findings: Findings,
): Promise<Inspected> {
  const archive = await readWalArchive(context, findings)
  const backups: InspectedBackup[] = []
  const segments = new Map<string, readonly string[]>()
  const objects = new Map<string, WalObject>()
  for (const backup of await chooseBackups(context, options.selection, findings)) {
    context.log.info(`Verifying the documents of ${backup.name}`)
    const inspected = await inspectBackup(context, backup, findings)
    const parent = backups.find(({ backup: { name } }) => name === backup.document.sentinel.delta?.parent)
    if (parent !== undefined) checkAgainstParent(inspected, parent, findings)
    backups.push(inspected)
    const needed = neededSegments(backup, archive, options, findings).filter(
      segment => !carriesSegment(inspected, segment),
    )
    segments.set(backup.name, needed)
    for (const file of needed) {
      const object = archive.segments.get(file)
      if (object !== undefined) objects.set(file, object)
    }
  }
  return { backups, segments, objects }
}

/** Every segment once, in order; those that are missing are findings of each backup that needs them. */
function walItems(
  backups: readonly InspectedBackup[],
  segments: ReadonlyMap<string, readonly string[]>,
  objects: Inspected['objects'],
  findings: Findings,
): WorkItem[] {
  const needing = new Map<string, WorkItem['backups'][number][]>()
  for (const { backup } of backups) {
    const missing: string[] = []
    for (const file of segments.get(backup.name) ?? []) {
      if (objects.has(file)) needing.set(file, [...(needing.get(file) ?? []), backup.name])
      else missing.push(file)
    }
    for (const file of missing) findings.error(backup.name, null, `WAL segment ${file} is not in the archive`)
  }
  return [...needing].sort().map(([file, names]) => {
    const { key, sizeBytes, modifiedNs } = objects.get(file)!
    return { kind: 'wal', key, sizeBytes, modifiedNs, backups: names }
  })
}

type Lanes = readonly [ReadLane, ...ReadLane[]]

/** Once for all backups: their memory counts with the collector of garbage, which would look through a large archive for each. */
function openLanes(context: OperationContext): Lanes {
  const others = Array.from({ length: LANES - 1 }, () => openLane(context))
  return [openLane(context), ...others]
}

function openLane({ storage, codecDescription, signal, progress }: OperationContext): ReadLane {
  return {
    storage,
    codec: openCodec(codecDescription),
    objectHasher: openHasher(),
    contentHasher: openHasher(),
    signal,
    onRead: bytes => progress.advance(bytes),
  }
}

async function readParts(
  context: OperationContext,
  lanes: Lanes,
  backups: readonly InspectedBackup[],
  walOf: (backup: InspectedBackup) => readonly WalObject[],
  outcome: Outcome,
  findings: Findings,
  memory: Memory,
  options: VerifyOptions,
): Promise<void> {
  const parts = outcome.plan.read.filter(({ kind }) => kind === 'part')
  const itemsOf = Map.groupBy(parts, ({ backups: [owner] }) => owner)
  for (const inspected of backups) {
    const { name } = inspected.backup
    const items = itemsOf.get(name)
    if (items === undefined) continue
    context.log.info(`Verifying ${items.length} parts of ${name}`)
    const reader = new PartReader(inspected, findings, options.pageBytes)
    await reader.readControlFile(lanes[0])
    let next = 0
    const readers = lanes.map(async lane => {
      while (next < items.length) {
        const item = items[next++]!
        throwIfCancelled(context.signal)
        const isGood = await reader.read(lane, item)
        if (!reader.isSuspect(item)) settle(outcome, memory, item, isGood)
        await memory.saveNowAndThen()
      }
    })
    const results = await Promise.allSettled(readers)
    for (const result of results) if (result.status === 'rejected') throw result.reason
    const judged = await reader.judgePages(lanes[0], walOf(inspected))
    for (const [item, isGood] of judged) settle(outcome, memory, item, isGood)
  }
}

async function readWal(
  context: OperationContext,
  lane: ReadLane,
  backups: readonly InspectedBackup[],
  objects: Inspected['objects'],
  outcome: Outcome,
  findings: Findings,
  memory: Memory,
): Promise<void> {
  const items = outcome.plan.read.filter(({ kind }) => kind === 'wal')
  if (items.length === 0) return
  context.log.info(`Verifying ${items.length} WAL segments`)
  const clusters = new Map(
    backups.map(({ backup: { name, document } }) => [name, document.sentinel.systemIdentifier]),
  )
  const byKey = new Map([...objects.values()].map(object => [object.key, object]))
  const reader = new WalReader(lane)
  for (const item of items) {
    throwIfCancelled(context.signal)
    try {
      await reader.read(byKey.get(item.key)!, clusters.get(item.backups[0]!) ?? null)
      settle(outcome, memory, item, true)
    } catch (error) {
      if (!isFinding(error)) throw error
      for (const name of item.backups) findings.error(name, item.key, error.message)
      settle(outcome, memory, item, false)
    }
    await memory.saveNowAndThen()
  }
}

function settle(outcome: Outcome, memory: Memory, item: WorkItem, isGood: boolean): void {
  if (isGood) outcome.good.add(item.key)
  else outcome.damaged.add(item.key)
  memory.note(item, isGood)
}
