import { createBlockCrew } from '../../codec/block-crew.ts'
import type { WholeReason } from '../../delta/page-selection.ts'
import { createRateLimit } from '../../kit/limits.ts'
import { collectGarbage } from '../../kit/thread.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { partKey, partName } from '../../repository/layout.ts'
import type { OperationContext } from '../context.ts'
import type { Contents } from './contents.ts'
import { isCopying } from './copy/copy-source.ts'
import { describeFound } from './damage-report.ts'
import { judgeLate, type LatePage } from './late-pages.ts'
import type { BackupPushOptions } from './options.ts'
import type { PushContext } from './own-objects.ts'
import type { NumberedPart, PackReport, PartsTask } from './part/pack-task.ts'
import type { PackedFiles } from './part/packed-files.ts'
import { traitsOf } from './part/part.ts'
import { createPartControl } from './part/part-control.ts'
import type { PartWorkers } from './part/part-workers.ts'
import type { BackupSource } from './source/backup-source.ts'

export interface PushedParts {
  readonly parts: readonly NumberedPart[]
  /** Damaged pages by entry. */
  readonly damage: ReadonlyMap<number, readonly number[]>
  /** Pages by entry that are damaged unless the backup ends after them. */
  readonly late: ReadonlyMap<number, readonly LatePage[]>
}

/** A worker's own calls are bounded by the storage; this one catches what hangs while reading. */
const STALL_GRACE_MS = 10_000

/** Packs and puts all files of a backup, by all workers side by side; they are ended then, and their memory is free. */
export async function pushParts(
  context: PushContext,
  workers: PartWorkers,
  source: BackupSource,
  contents: Contents,
  options: BackupPushOptions,
): Promise<PushedParts> {
  const { log, progress, signal, codec, own } = context
  const { files, identity } = contents
  const damage = new Map<number, readonly number[]>()
  const late = new Map<number, readonly LatePage[]>()
  const onReport = (report: PackReport): void => {
    if (report.kind === 'part begun') {
      own.begun(partKey(identity.name, partName(report.number, codec.extension)))
      log.info(`Starting part ${report.number} of backup ${identity.name} ...`)
    } else if (report.kind === 'part done') {
      own.stored(partKey(identity.name, report.part.name), traitsOf(report.part))
      log.info(`Finished writing part ${report.part.number} of backup ${identity.name}.`)
    } else if (report.kind === 'odd size') {
      const { path, sizeBytes } = files.file(files.indexOfTurn(report.turn))
      log.warning(`"${path}" has ${sizeBytes} bytes, not whole pages: packed without verifying its pages`)
    } else if (report.kind === 'whole') {
      sayWhole(context, files.memberName(files.indexOfTurn(report.turn)), report.reason)
    } else if (report.kind === 'late') {
      late.set(files.indexOfTurn(report.turn), report.pages)
    } else {
      const index = files.indexOfTurn(report.turn)
      damage.set(index, report.blocks)
      log.warning(describeFound(files.path(index), report.blocks))
    }
  }
  log.info('Packing ...')
  progress.begin('backup-push', files.totalBytes)
  try {
    const packing = workers.pack(taskOf(context, source, contents, options, workers.count), files, {
      signal,
      progress,
      stallTimeoutMs: context.storageDescription.stallTimeoutMs + STALL_GRACE_MS,
      onReport,
    })
    // what planning has left behind, while this thread has nothing else to do
    collectGarbage()
    const parts = await packing
    await workers[Symbol.asyncDispose]()
    warnOfVanished(context, files)
    return { parts, damage, late }
  } finally {
    progress.end()
  }
}

/** The same parts with all of their damage, now that it is known where the backup ends. */
export function judgeLateDamage(
  { log }: OperationContext,
  { files }: Contents,
  pushed: PushedParts,
  endLsn: Lsn,
): PushedParts {
  const damage = judgeLate(pushed.damage, pushed.late, endLsn, (index, blocks) =>
    log.warning(describeFound(files.path(index), blocks)),
  )
  return { ...pushed, damage }
}

/** The name of the next ordinary part after those that the workers have made. */
export function nextPart(
  parts: readonly NumberedPart[],
  extension: string,
): { number: number; name: string } {
  const number = parts.reduce((max, part) => Math.max(max, part.number), 0) + 1
  return { number, name: partName(number, extension) }
}

function taskOf(
  { codec }: OperationContext,
  source: BackupSource,
  contents: Contents,
  options: BackupPushOptions,
  workersCount: number,
): PartsTask {
  const { diskBytesPerSecond, isVerifying } = options
  const { delta, catchupFromLsn } = contents.identity
  const sinceLsn = delta?.lsn ?? catchupFromLsn
  const isChecked = isVerifying && source.pages !== undefined
  return {
    backup: contents.identity.name,
    control: createPartControl(workersCount),
    headers: contents.headers,
    separatesHeaders: isCopying(options),
    partBytesMax: options.partBytesMax,
    pageBytes: options.pageBytes,
    use: contents.files.isMostlySmall ? 'small files' : 'part',
    ...(diskBytesPerSecond === undefined ? {} : { diskLimit: createRateLimit(diskBytesPerSecond) }),
    workersCount,
    ...(workersCount > 1 && codec.compression.sharing === 'crew'
      ? { crew: createBlockCrew(workersCount) }
      : {}),
    ...(isChecked ? { pages: { ...source.pages!, startLsn: source.startLsn } } : {}),
    ...(sinceLsn === undefined ? {} : { scan: { pageBytes: options.pageBytes, sinceLsn } }),
  }
}

function sayWhole({ log }: OperationContext, name: string, reason: WholeReason): void {
  if (reason.kind === 'invalid page') {
    log.warning(
      `failed to read file '${name}' as incremented: block ${reason.block} is no valid page; it is stored whole`,
    )
  } else {
    log.info(`'${name}' is stored whole: block ${reason.block} is zero and may not have been so before`)
  }
}

/** Dropped tables are nothing to worry about, so one line is enough. */
function warnOfVanished({ log }: OperationContext, files: PackedFiles): void {
  let count = 0
  let first = ''
  for (const index of files.indexes()) {
    if (files.state(index) !== 'vanished') continue
    if (count === 0) first = files.path(index)
    count += 1
  }
  if (count === 0) return
  const others = count === 1 ? '' : ` and ${count - 1} other files`
  log.warning(`"${first}"${others} vanished while the backup was taken`)
}
