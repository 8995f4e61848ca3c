import type { CodecDescription } from '../../codec/codec.ts'
import { WalgError } from '../../kit/errors.ts'
import { toBackupName } from '../../repository/backup-name.ts'
import { type BackupEntry, backupNotFound, findBackup } from '../../repository/catalog.ts'
import { BACKUPS_PREFIX, WAL_PREFIX } from '../../repository/layout.ts'
import { listWal, type WalObject } from '../../repository/wal-catalog.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import { allBackups, type ChosenBackup, chooseBackups, inspectBackup, walPlaceOf } from './copied-backups.ts'
import { copyObjects } from './copy-objects.ts'
import {
  type CopiedBackup,
  type CopiedObject,
  type CopyPlan,
  planMissing,
  planStages,
  planWal,
  walRangeOf,
} from './plan-copy.ts'

export interface CopyContext extends Pick<OperationContext, 'log' | 'progress' | 'signal'> {
  readonly source: Storage
  readonly target: Storage
}

export interface CopyOptions {
  /** A name or LATEST; undefined: every completed backup. */
  readonly backup: string | undefined
  /** WAL up to the newest archived segment, instead of up to the end of each backup. */
  readonly withHistory: boolean
  readonly segmentBytes: number
  /** Objects are opened with the one and sealed with the other, instead of going as they are. */
  readonly reseal?: { readonly sourceCodec: CodecDescription; readonly targetCodec: CodecDescription }
}

export interface CopyResult {
  readonly backups: readonly string[]
  /** Objects that went; those that were there already are not counted. */
  readonly objectsCount: number
}

/**
 * Copies backups, with every backup that they build upon and the WAL that they need, into another storage, byte for
 * byte. What is there with the same size stays; so the command can be run again after any interruption. Nothing is
 * written when WAL is missing or an object is there with another size. A backup becomes visible when everything of it
 * is there. Throws BACKUP_NOT_FOUND, CHAIN_BROKEN, WAL_NOT_FOUND, OBJECT_EXISTS.
 */
export async function copyRepository(context: CopyContext, options: CopyOptions): Promise<CopyResult> {
  const { source, target, log, signal } = context
  const chosen = await chooseBackups(source, await askedBackups(context, options.backup), { signal })
  const backups: CopiedBackup[] = []
  for (const backup of chosen) backups.push(await inspectBackup(source, backup, { signal }))
  const wal = await neededWal(context, chosen, options)
  const plan = planStages(backups, wal)
  const names = backups.map(({ name }) => name)
  if (options.reseal !== undefined) {
    const { copyResealed } = await import('./copy-resealed.ts')
    const order = plan.sentinels.map(({ key }) => backups.findIndex(({ sentinel }) => sentinel.key === key))
    const ordered = order.map(at => ({ backup: backups[at]!, chosen: chosen[at]! }))
    const resealing = { source, target, signal, ...options.reseal }
    const objectsCount = await copyResealed(context, resealing, { backups: ordered, wal })
    log.info('Success copy.')
    return { backups: names, objectsCount }
  }
  const missing = planMissing(plan, await presentObjects(target, plan, { signal }))
  await carryOut(context, missing)
  log.info('Success copy.')
  return {
    backups: names,
    objectsCount: missing.payload.length + missing.metadata.length + missing.sentinels.length,
  }
}

async function askedBackups(
  { source, log, signal }: CopyContext,
  asked: string | undefined,
): Promise<readonly BackupEntry[]> {
  if (asked === undefined) return allBackups(source, { signal })
  if (asked !== 'LATEST') {
    const entry = await findBackup(source, toBackupName(asked), { signal })
    if (entry === null) throw backupNotFound(asked)
    return [entry]
  }
  const latest = (await allBackups(source, { signal })).at(-1)!
  log.info(`LATEST backup is: '${latest.name}'`)
  return [latest]
}

async function neededWal(
  { source, signal }: CopyContext,
  chosen: readonly ChosenBackup[],
  { withHistory, segmentBytes }: CopyOptions,
): Promise<readonly CopiedObject[]> {
  const ranges = []
  for (const backup of chosen.filter(({ isAsked }) => isAsked)) {
    const place = await walPlaceOf(source, backup, { signal })
    if (place === null) {
      throw new WalgError(
        'BACKUP_BROKEN',
        `backup "${backup.entry.name}" does not say which WAL it needs: neither its name nor its sentinel is of WAL-G`,
        { facts: { backup: backup.entry.name }, hint: 'copy its objects with `st copy --prefix`' },
      )
    }
    ranges.push(walRangeOf(place, withHistory, segmentBytes))
  }
  const archived: WalObject[] = []
  for await (const object of listWal(source, { signal })) archived.push(object)
  archived.sort((left, right) => (left.key < right.key ? -1 : 1))
  return planWal(archived, ranges, segmentBytes).map(({ key, sizeBytes }) => ({ key, sizeBytes }))
}

/** Sizes of what the target has below the folders that the plan writes to. */
async function presentObjects(
  target: Storage,
  plan: CopyPlan,
  options: Abortable,
): Promise<ReadonlyMap<string, number>> {
  const wanted = new Set([...plan.payload, ...plan.metadata, ...plan.sentinels].map(({ key }) => key))
  const present = new Map<string, number>()
  for (const prefix of [BACKUPS_PREFIX, WAL_PREFIX]) {
    for await (const entry of target.list(prefix, { ...options, recursive: true })) {
      if (entry.kind === 'object' && wanted.has(entry.key)) present.set(entry.key, entry.sizeBytes)
    }
  }
  return present
}

async function carryOut(context: CopyContext, plan: CopyPlan): Promise<void> {
  const { source, target, log, progress, signal } = context
  const onCopied = ({ key, sizeBytes }: CopiedObject): void => {
    log.info(`Copied "${key}" to "${key}" without transformation.`)
    progress.advance(sizeBytes)
  }
  const all = [...plan.payload, ...plan.metadata, ...plan.sentinels]
  progress.begin(
    'copy',
    all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  )
  try {
    await copyObjects(source, target, plan.payload, { signal, onCopied })
    await copyObjects(source, target, plan.metadata, { signal, onCopied })
    for (const sentinel of plan.sentinels) await copyObjects(source, target, [sentinel], { signal, onCopied })
  } finally {
    progress.end()
  }
}
