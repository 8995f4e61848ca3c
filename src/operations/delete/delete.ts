import { nextSegmentName } from '../../postgres/wal-segment.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import { chooseBefore, chooseMeant, chooseRetained } from './choose-target.ts'
import { executePlan } from './execute-plan.ts'
import { type Inventory, type InventoryBackup, readInventory } from './inventory.ts'
import type { DeletePlan } from './plan.ts'
import { planBefore } from './plan-kept.ts'
import { planEverything, planGarbage, planTarget } from './plan-others.ts'
import { planPolicy } from './plan-policy.ts'
import type { DeleteRequest, PlanOptions } from './request.ts'
import type { StoredObject } from './stored-object.ts'
import { permanentWal } from './wal-need.ts'

export interface DeleteOptions extends PlanOptions {
  readonly request: DeleteRequest
  /** False: a dry run. */
  readonly isConfirmed: boolean
}

/** The plan, carried out when it was confirmed; null when there was nothing to choose. */
export interface DeleteResult {
  readonly plan: DeletePlan | null
  readonly isExecuted: boolean
}

interface DeleteContext extends Pick<OperationContext, 'storage' | 'log' | 'progress' | 'signal'> {
  /** Further storages, behind `storage`, from which is deleted as well. */
  readonly otherStorages?: readonly Storage[]
}

/**
 * Plans what goes and what stays, logs it as the original does, and removes it when that was confirmed. Throws
 * BACKUP_NOT_FOUND, BACKUP_AMBIGUOUS, BACKUP_PERMANENT, WRITE_REFUSED (foreign objects), USAGE (a delta without FIND_FULL).
 */
export async function deleteObjects(context: DeleteContext, options: DeleteOptions): Promise<DeleteResult> {
  const { log, storage } = context
  const names = [storage, ...(context.otherStorages ?? [])].map(({ name }) => name)
  log.info(`Backup to delete will be searched in storages: [${names.join(' ')}]`)
  log.info('retrieving permanent objects')
  const inventory = await readInventory(context, '')
  logPermanent(context, inventory, options)
  const plan = makePlanFor(context, inventory, options)
  if (plan === null) return { plan, isExecuted: false }
  log.info('Evaluating objects for deletion...')
  const isRelative = options.request.kind === 'target'
  for (const { key, storageName = storage.name } of plan.remove) {
    const shown = isRelative ? key.slice(key.indexOf('/') + 1) : key
    log.info(`Object marked for deletion: ${shown} storage=${storageName}`)
  }
  const count = plan.remove.length
  if (count === 0) log.info('No objects matched the deletion criteria.')
  else if (!options.isConfirmed) {
    log.info(`Dry run: objects would be deleted count=${count}, Run with --confirm to execute`)
  } else {
    await executePlan(context, plan)
    log.info(`Objects deleted successfully: count=${count}`)
  }
  return { plan, isExecuted: options.isConfirmed && count > 0 }
}

function makePlanFor(
  context: DeleteContext,
  inventory: Inventory,
  options: DeleteOptions,
): DeletePlan | null {
  const { log, storage } = context
  const { request } = options
  const onKept = ({ key, storageName = storage.name }: StoredObject): void =>
    log.debug(`Object skipped: ${key} storage=${storageName}`)
  switch (request.kind) {
    case 'before':
    case 'retain': {
      const target =
        request.kind === 'before'
          ? chooseBefore(inventory, request, options)
          : chooseRetained(inventory, request, options)
      if (target === null) {
        log.info('No backup found for deletion')
        return null
      }
      log.info('Start delete')
      return planBefore(inventory, target, options, onKept)
    }
    case 'policy': {
      const plan = planPolicy(inventory, request.policy, options, onKept)
      if (plan === null) log.info('No backup found for deletion')
      else for (const { backup, why } of plan.keepBackups) log.info(`Backup stays: ${backup} (${why})`)
      return plan
    }
    case 'everything': {
      const plan = planEverything(inventory, request.isForced)
      const permanent = inventory.backups.filter(({ isPermanent }) => isPermanent).map(({ name }) => name)
      if (permanent.length > 0) log.info(`Found permanent backups=[${permanent.sort().join(' ')}]`)
      return plan
    }
    case 'target': {
      logSelection(context, request.selection)
      const meant = chooseMeant(inventory, request.selection)
      if (request.selection.kind === 'latest') log.info(`LATEST backup is: '${meant.name}'`)
      return planTarget(inventory, meant, request.isWholeChain, onKept)
    }
    case 'garbage': {
      log.info(MODE_LINES[request.mode])
      const oldest = chooseOldest(context, inventory)
      if (oldest === null) {
        log.info("Couldn't find any non-permanent backups in storage.")
        log.info(request.isWithoutBackupCheck ? 'Will delete garbage anyway.' : 'Not doing anything.')
        if (!request.isWithoutBackupCheck) return null
      }
      log.info('Start delete')
      return planGarbage(inventory, oldest, request, options, onKept)
    }
  }
}

const MODE_LINES = {
  all: 'Running in default mode. Will remove outdated WAL files and leftover backup files.',
  archives: 'Archive-only mode selected. Will remove only outdated WAL files.',
  backups: 'Backups-only mode selected. Will remove only leftover backup files.',
} as const

function chooseOldest({ log }: DeleteContext, { backups }: Inventory): InventoryBackup | null {
  for (const { name, isPermanent } of backups) {
    if (isPermanent) {
      log.info(`Backup ${name} is permanent, it is not eligible to be selected as the oldest backup`)
    }
  }
  return backups.find(({ isPermanent }) => !isPermanent) ?? null
}

function logSelection(
  { log }: DeleteContext,
  selection: Extract<DeleteRequest, { kind: 'target' }>['selection'],
): void {
  if (selection.kind === 'latest') log.info('Selecting the latest backup...')
  else if (selection.kind === 'name') log.info(`Selecting the backup with name ${selection.name}...`)
  else log.info('Selecting the backup with the specified user data...')
}

/** Segments that are named one by one; beyond that the first and last are enough. */
const SEGMENTS_SHOWN_MAX = 64

function logPermanent({ log, storage }: DeleteContext, { backups }: Inventory, options: PlanOptions): void {
  const permanent = backups.filter(({ isPermanent }) => isPermanent)
  if (permanent.length === 0) return
  const entries = (name: string, { storageNames = [storage.name] }: InventoryBackup): string[] =>
    storageNames.map(storageName => `{${name} ${storageName}}:true`)
  const names = permanent.flatMap(backup => entries(backup.name, backup)).sort()
  const wals = permanent.flatMap(backup =>
    segmentsOf(backup, options.segmentBytes).flatMap(segment => entries(segment, backup)),
  )
  log.info(
    `Found permanent objects: backups=map[${names.join(' ')}], wals=map[${[...new Set(wals)].sort().join(' ')}]`,
  )
}

function segmentsOf(backup: InventoryBackup, segmentBytes: number): string[] {
  const range = permanentWal(backup, segmentBytes)
  if (range === undefined) return []
  const names = [range.first]
  while (names.at(-1)! < range.last && names.length < SEGMENTS_SHOWN_MAX) {
    names.push(nextSegmentName(names.at(-1)!, segmentBytes))
  }
  return names.at(-1)! < range.last ? [range.first, range.last] : names
}
