import fs from 'node:fs'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import type { PartResult } from '../part/part-protocol.ts'
import { PartResults } from '../part/part-results.ts'
import type { PlannedPart } from '../plan/fetch-plan.ts'
import { IS_INCREMENT, IS_SKIPPED, IS_WANTED, type Roles } from '../plan/member-roles.ts'
import type { MemberTable } from '../plan/member-table.ts'
import { toMicroseconds } from '../target/target-file.ts'
import type { TargetTree } from '../target/target-tree.ts'
import type { FetchState } from './fetch-state.ts'
import { type RecordedFile, readRecord } from './part-record.ts'

/** One backup of the chain, oldest first in a list. */
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
 * time it had then. A file that a later backup of the chain was about to write again needs only to be there, for what
 * is done to it is done again. Records behind the first incomplete backup are forgotten.
 */
export function trustedParts(input: ResumeInput): TrustedParts {
  const { backups, state } = input
  const trusted: Map<string, PartResult>[] = backups.map(() => new Map())
  const isVerified = new Uint8Array(input.table.count)
  for (let generation = backups.length - 1; generation >= 0; generation--) {
    const later = backups.slice(generation + 1).map(({ roles }) => roles)
    for (const part of backups[generation]!.parts) {
      const result = readTrusted(input, generation, part, later, isVerified)
      if (result !== undefined) trusted[generation]!.set(part.part, result)
    }
  }
  const incomplete = backups.findIndex(({ parts }, index) => trusted[index]!.size < parts.length)
  if (incomplete >= 0 && incomplete + 1 < backups.length) {
    for (let generation = incomplete + 1; generation < backups.length; generation++)
      trusted[generation]!.clear()
    state.discard(incomplete + 1)
  }
  return trusted
}

function readTrusted(
  input: ResumeInput,
  generation: number,
  part: PlannedPart,
  later: readonly Roles[],
  isVerified: Uint8Array,
): PartResult | undefined {
  const results = new PartResults(input.checksumBytes)
  const verified: number[] = []
  const rowOf = (name: string): number => (input.hasList ? input.table.find(name) : -1)
  const tail = readRecord(input.state.recordPath(generation, part.part), part, recorded => {
    const row = recorded.bytes === undefined ? rowOf(recorded.name) : -1
    if (row >= 0 && isVerified[row] === 1) return collect(results, recorded, row)
    const pending = row < 0 ? undefined : later.find(roles => writes(roles[row]!))
    if (pending === undefined) {
      if (!isAsRecorded(input.tree, recorded)) return false
      if (row >= 0) verified.push(row)
    } else if ((pending[row]! & IS_INCREMENT) !== 0 && !isFile(input.tree, recorded)) return false
    return collect(results, recorded, row)
  })
  if (tail === undefined) return undefined
  for (const row of verified) isVerified[row] = 1
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

function isAsRecorded(tree: TargetTree, recorded: RecordedFile): boolean {
  const info = look(tree, recorded)
  return (
    info?.isFile() === true &&
    info.size === recorded.sizeBytes &&
    toMicroseconds(info.mtimeMs) === recorded.mtimeUs
  )
}

function isFile(tree: TargetTree, recorded: RecordedFile): boolean {
  return look(tree, recorded)?.isFile() === true
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
