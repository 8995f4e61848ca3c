import { closeSync } from 'node:fs'
import { PAGE_HEADER_BYTES } from '../../../postgres/page-header.ts'
import { isPagedFile, parseRelationFile } from '../../../postgres/relation-file.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { tellUnlogged } from '../../../postgres/walk/unlogged-relations.ts'
import type { OperationContext } from '../../context.ts'
import { openFile, readInto } from '../part/file-reading.ts'
import { FilePlan } from './file-plan.ts'
import { FIRST_NORMAL_OID } from './new-databases.ts'
import { scanMethod, tellVisible, type VisibleMarks } from './visible-pages.ts'

export interface CatchupInput {
  readonly entries: DataEntries
  /** Which entries are files of the backup. */
  readonly isFile: (index: number) => boolean
  readonly pageBytes: number
  /** Where the standby stands. */
  readonly fromLsn: bigint
  /** Absent: VACUUM moves the LSN of the pages that it marks all-visible. */
  readonly marks: VisibleMarks | undefined
}

/** In the column of directories: more than one has a file of that number. */
const SHARED = -1

/**
 * Decides for every file of a catchup backup how it is packed. Increments are made of the main forks of permanent relations,
 * in directories of databases that were there before the standby stopped. The standby does not have what CREATE DATABASE or
 * ALTER DATABASE SET TABLESPACE have copied since, and the pages of such a copy are as old as those they were copied from:
 * a directory without a page that is older than `fromLsn` and nobody else's is stored whole. The template may be gone, or its table
 * written anew: only a relation that has a higher number than its database was made after that, and did not come with the copy.
 */
export function planCatchup({ log }: Pick<OperationContext, 'log'>, input: CatchupInput): FilePlan {
  const { entries, isFile, pageBytes, marks } = input
  const plan = new FilePlan(entries.count)
  const isUnlogged = tellUnlogged(entries)
  const settled = findSettled(input)
  const whole = new Set<string>()
  for (let index = 0; index < entries.count; index++) {
    if (!isFile(index)) continue
    const name = entries.memberName(index)
    const sizeBytes = entries.sizeBytes(index)
    if (!isPagedFile(name, sizeBytes, pageBytes)) continue
    const place = entries.placeOf(index)
    if (!settled.has(place)) whole.add(entries.places[place]!.member)
    else if (!isUnlogged(index)) {
      const part = { relation: parseRelationFile(name)!, blocks: sizeBytes / pageBytes }
      plan.set(index, scanMethod(marks, entries.path(index), part), undefined)
    }
  }
  if (whole.size > 0) {
    log.info(`Stored whole, because they may be younger than the standby: ${[...whole].sort().join(', ')}`)
  }
  tellVisible(log, plan, entries)
  return plan
}

/** Directories of databases, by place, that were there before `fromLsn` for certain. */
function findSettled(input: CatchupInput): ReadonlySet<number> {
  const { entries, isFile } = input
  const settled = new Set<number>()
  const owners = new Map<number, number>()
  const candidates: number[] = []
  for (let index = 0; index < entries.count; index++) {
    if (!isFile(index)) continue
    const place = entries.placeOf(index)
    const oid = /^\/base\/(\d+)$/.exec(entries.places[place]!.member)?.[1]
    if (oid !== undefined && Number(oid) < FIRST_NORMAL_OID) settled.add(place)
    const number = entries.fileNumber(index)
    if (number < FIRST_NORMAL_OID) continue
    const owner = owners.get(number)
    if (owner === undefined) owners.set(number, place)
    else if (owner !== place) owners.set(number, SHARED)
    candidates.push(index)
  }
  for (const index of candidates) {
    const place = entries.placeOf(index)
    const number = entries.fileNumber(index)
    if (settled.has(place) || owners.get(number) !== place || !(number > databaseAt(input, place))) continue
    if (hasOldPage(input, index)) settled.add(place)
  }
  return settled
}

/** Oid of the database whose directory a place is; NaN for another directory. */
function databaseAt({ entries }: CatchupInput, place: number): number {
  return Number(/\/(\d+)$/.exec(entries.places[place]!.member)?.[1])
}

/** Looks at the first page of a relation's file, and at its last. */
function hasOldPage({ entries, pageBytes, fromLsn }: CatchupInput, index: number): boolean {
  const sizeBytes = entries.sizeBytes(index)
  if (!isPagedFile(entries.memberName(index), sizeBytes, pageBytes)) return false
  const lsns = lsnsAt(entries.path(index), [0, sizeBytes - pageBytes])
  return lsns.some(lsn => lsn !== 0n && lsn < fromLsn)
}

/** LSNs of the pages at these positions, as far as the file reaches. */
function lsnsAt(path: string, positions: readonly number[]): bigint[] {
  const fd = openFile(path)
  if (fd === undefined) return []
  const lsns: bigint[] = []
  try {
    const header = new Uint8Array(PAGE_HEADER_BYTES)
    const view = new DataView(header.buffer)
    for (const position of positions) {
      if (readInto({ fd, path, position }, header, 0, header.length) < header.length) continue
      lsns.push((BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true)))
    }
    return lsns
  } finally {
    closeSync(fd)
  }
}
