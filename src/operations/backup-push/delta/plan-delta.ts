import type { ChangedPages } from '../../../delta/changed-pages.ts'
import { formatByteSize } from '../../../kit/sizes.ts'
import type { DatabaseRows } from '../../../postgres/cluster/cluster-facts.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import type { OperationContext } from '../../context.ts'
import { measureDelta } from './delta-size.ts'
import { DoubtfulDatabases } from './doubtful-databases.ts'
import type { FilePlan } from './file-plan.ts'
import { movedDatabases, sameDatabases } from './new-databases.ts'
import type { DeltaOptions } from './options.ts'
import type { ParentBackup } from './parent/choose-parent.ts'
import { findOlderFile } from './parent/older-files.ts'
import type { ParentFiles } from './parent/parent-files.ts'
import { planFiles } from './plan-files.ts'
import { tellVisible, type VisibleMarks } from './visible-pages.ts'

/** A parent that a delta can be made from. */
export interface DeltaBase {
  readonly parent: ParentBackup
  readonly files: ParentFiles
  /** Absent: changed pages are found by reading. */
  readonly changed: ChangedPages | undefined
  /** Absent: VACUUM moves the LSN of the pages that it marks all-visible. */
  readonly marks: VisibleMarks | undefined
  /** The WAL has shown that the cluster went on from the parent. */
  readonly isProved: boolean
  /** It was taken of this directory, as far as is known: times of files of two hosts cannot be compared. */
  readonly isOfSameHost: boolean
}

export interface DeltaPlanInput {
  readonly entries: DataEntries
  readonly isFile: (index: number) => boolean
  readonly pageBytes: number
  /** Since the backup began; undefined when no server can be asked. */
  readonly databases: DatabaseRows | undefined
  readonly options: DeltaOptions
}

/** How each file of the delta is packed; undefined when a full backup is the better one, which is said. */
export function planDelta(
  { log }: OperationContext,
  { parent, files, changed, marks, isProved, isOfSameHost }: DeltaBase,
  { entries, isFile, pageBytes, databases, options }: DeltaPlanInput,
): FilePlan | undefined {
  const older =
    isProved || !isOfSameHost ? undefined : findOlderFile({ entries, isFile, pageBytes, parent: files })
  if (older !== undefined) {
    log.warning(
      `${parent.name} cannot be the parent of a delta: "${older}" had been written later than it is now, as when an older state of the cluster was brought back. Doing full backup.`,
    )
    return undefined
  }
  const doubtful = new DoubtfulDatabases()
  const movedIn = files.databases && databases ? movedDatabases(files.databases, databases) : undefined
  const same = sameDatabases(files.databases, databases)
  const known = { changed, marks, movedIn, same, doubtful }
  const plan = planFiles({ entries, isFile, parent: files, pageBytes, ...known })
  const reason = databases === undefined ? 'no server' : same === undefined ? 'no record' : 'other rows'
  doubtful.tell(log, parent.name, reason)
  if (!isAnythingReused(entries, plan)) {
    log.info(`Nothing of ${parent.name} can be used. Doing full backup.`)
    return undefined
  }
  tellVisible(log, plan, entries)
  if (options.ratioMax === undefined) return plan
  const size = measureDelta({ entries, isFile, plan, pageBytes, sinceLsn: parent.startLsn })
  const ratio = size.fullBytes === 0 ? 0 : size.deltaBytes / size.fullBytes
  const told =
    `${size.isEstimated ? 'about ' : ''}${formatByteSize(size.deltaBytes)} of ${formatByteSize(size.fullBytes)} ` +
    `(${ratio.toFixed(3)}; WALG_DELTA_MAX_RATIO is ${options.ratioMax})`
  if (ratio <= options.ratioMax) {
    log.info(`The delta will hold ${told}`)
    return plan
  }
  log.info(`A delta would hold ${told}: too much. Doing full backup.`)
  return undefined
}

function isAnythingReused(entries: DataEntries, plan: FilePlan): boolean {
  for (let index = 0; index < entries.count; index++) if (plan.method(index) !== 'whole') return true
  return false
}
