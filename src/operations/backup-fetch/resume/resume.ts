import fs from 'node:fs'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import type { PartResult } from '../part/part-protocol.ts'
import { PartResults } from '../part/part-results.ts'
import type { PlannedPart } from '../plan/fetch-plan.ts'
import { IS_SKIPPED, IS_WANTED, type Roles } from '../plan/member-roles.ts'
import type { MemberTable } from '../plan/member-table.ts'
import { toMicroseconds } from '../target/target-file.ts'
import type { TargetTree } from '../target/target-tree.ts'
import type { FetchState } from './fetch-state.ts'
import { type RecordedFile, readRecord } from './part-record.ts'

/** One backup of the chain, oldest first in a list. The newest is restored first. */
export interface ResumableBackup {
  readonly parts: readonly PlannedPart[]
  readonly roles: Roles
}

export interface ResumeInput {
  readonly state: FetchState
  readonly backups: readonly ResumableBackup[]
  readonly table: MemberTable
  /** Without a list of files names are added to the table as they come. */
  readonly hasList: boolean
  readonly tree: TargetTree
  readonly checksumBytes: number
}

/** Results of the parts that need not be read again, for each backup of the chain, by part name. */
export type TrustedParts = readonly ReadonlyMap<string, PartResult>[]

/**
 * Decides which recorded parts are trusted: the object is the same, and every file it wrote is there with the size and
 * time it had then. Of a file that an older backup of the chain was about to write beneath, the time may be another. The
 * chain is restored from its newest backup: records behind the first incomplete one are forgotten.
 */
export function trustedParts(input: ResumeInput): TrustedParts {
  const { backups, state } = input
  const trusted: Map<string, PartResult>[] = backups.map(() => new Map())
  const isVerified = new Uint8Array(input.table.count)
  for (const [generation, { parts }] of backups.entries()) {
    const older = backups.slice(0, generation).map(({ roles }) => roles)
    for (const part of parts) {
      const result = readTrusted(input, generation, part, older, isVerified)
      if (result !== undefined) trusted[generation]!.set(part.part, result)
    }
  }
  const incomplete = backups.findLastIndex(({ parts }, index) => trusted[index]!.size < parts.length)
  if (incomplete > 0) {
    for (let generation = 0; generation < incomplete; generation++) trusted[generation]!.clear()
    state.discard(incomplete)
  }
  return trusted
}

function readTrusted(
  input: ResumeInput,
  generation: number,
  part: PlannedPart,
  older: readonly Roles[],
  isVerified: Uint8Array,
): PartResult | undefined {
  const results = new PartResults(input.checksumBytes)
  const verified: number[] = []
  const rowOf = (name: string): number => (input.hasList ? input.table.find(name) : -1)
  const tail = readRecord(input.state.recordPath(generation, part.part), part, recorded => {
    const row = recorded.bytes === undefined ? rowOf(recorded.name) : -1
    if (row >= 0 && isVerified[row] === 1) return collect(results, recorded, row)
    const isPending = row >= 0 && older.some(roles => writes(roles[row]!))
    if (!isAsRecorded(input.tree, recorded, isPending)) return false
    if (row >= 0 && !isPending) verified.push(row)
    return collect(results, recorded, row)
  })
  if (tail === undefined) return undefined
  for (const row of verified) isVerified[row] = 1
  for (const increment of tail.increments) results.addIncrement({ ...increment, row: rowOf(increment.name) })
  for (const name of tail.seen) results.addSeen(rowOf(name))
  results.directories.push(...tail.directories)
  results.ignored.push(...tail.ignored)
  results.memberBytes = tail.memberBytes
  return results.finish(part.sizeBytes, tail.storedHash)
}

function collect(results: PartResults, recorded: RecordedFile, row: number): true {
  const { into, at } = results.add({ ...recorded, row, nameBytes: recorded.bytes })
  into.set(recorded.checksum, at)
  return true
}

function writes(role: number): boolean {
  return (role & IS_WANTED) !== 0 && (role & IS_SKIPPED) === 0
}

function isAsRecorded(tree: TargetTree, recorded: RecordedFile, isTimeOpen: boolean): boolean {
  const info = look(tree, recorded)
  return (
    info?.isFile() === true &&
    info.size === recorded.sizeBytes &&
    (isTimeOpen || toMicroseconds(info.mtimeMs) === recorded.mtimeUs)
  )
}

function look(tree: TargetTree, recorded: RecordedFile): fs.Stats | undefined {
  const target = tree.pathOf({ name: recorded.name, bytes: recorded.bytes })
  try {
    return fs.lstatSync(target)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined
    throw fromSystemError(error, 'look at', String(target))
  }
}
