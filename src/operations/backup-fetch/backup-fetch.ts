import { availableParallelism } from 'node:os'
import { throwIfCancelled } from '../../kit/clock.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import { type ChainBackup, readChain } from '../../repository/chain.ts'
import { mappedLocations } from '../../repository/tablespace-spec.ts'
import type { OperationContext } from '../context.ts'
import { removeDropped } from './catchup/remove-dropped.ts'
import { checkStandby, standbyTablespaces } from './catchup/standby.ts'
import { completeFetch, removeControlFile } from './complete-fetch.ts'
import { EarlyParts, type Fetch, fetchLateParts, fetchStep, type StepRun } from './fetch-step.ts'
import type { BackupFetchOptions } from './options.ts'
import { NewerPagesBuilder } from './part/newer-pages.ts'
import { PartPool } from './part/part-pool.ts'
import type { NewerPagesData } from './part/part-protocol.ts'
import { checksumBytes } from './part/part-protocol.ts'
import { type FetchPlan, type FetchStep, planFetch } from './plan/chain-plan.ts'
import { type EarlyPart, planEarlyParts } from './plan/early-parts.ts'
import { PG_CONTROL, TABLESPACE_MAP } from './plan/member-roles.ts'
import { RestoredFiles } from './restored-files.ts'
import { type FetchIdentity, FetchState, pendingControlFile } from './resume/fetch-state.ts'
import { type TrustedParts, trustedParts } from './resume/resume.ts'
import { fromAnyCopy, selectTarget } from './select-target.ts'
import { type Destination, inspectDestination, makeDestination } from './target/destination.ts'
import { checkExisting, existingLinks, removeForeign } from './target/existing.ts'
import {
  checkMovable,
  checkTablespaceLocations,
  makeTablespaces,
  planTablespaces,
  type TablespacePlan,
  warnOfStrangers,
} from './target/tablespaces.ts'
import { TargetLocks } from './target/target-lock.ts'
import { type TargetLayout, TargetTree } from './target/target-tree.ts'

export interface BackupFetchResult {
  readonly backup: string
  /** Newest first. */
  readonly chain: readonly string[]
}

/**
 * Restores a backup, from the newest delta to the full one beneath, so that each block is written once; verified before
 * pg_control is put in place.
 */
export async function backupFetch(
  given: OperationContext,
  options: BackupFetchOptions,
): Promise<BackupFetchResult> {
  await using locks = new TargetLocks()
  await locks.take(options.destination)
  const { target, context } = await selectTarget(given, options)
  const chain = await fromAnyCopy(context, from => readChain(from.storage, target, from))
  logChain(context, chain)
  const destination = inspectDestination(options.destination, options.isResume, options.isIntoExisting)
  const { spec } = target.document.sentinel
  if (destination.isExisting) await checkExisting(destination, target.document.sentinel)
  warnOfStrangers(context.log, spec, options.restoreSpec)
  const moved = options.isCatchup
    ? standbyTablespaces(destination.root, spec)
    : mappedLocations(spec, options.tablespaceMapping ?? [])
  const tablespaces = planTablespaces(destination.root, spec, options.restoreSpec, moved, options.isCatchup)
  for (const { location, isInside } of tablespaces.tablespaces) if (!isInside) await locks.take(location)
  const links = destination.isExisting ? existingLinks(destination.root, tablespaces) : new Map()
  if (!destination.isInterrupted) checkTablespaceLocations(tablespaces, links, options.isCatchup)
  const layout = layoutOf(destination.root, tablespaces, links)
  // the threads get ready while the lists of files are read
  await using pool = openPool(context, options, layout)
  const plan = await fromAnyCopy(context, from =>
    planFetch(from, chain, options, tablespaces.keepsTablespaceMap),
  )
  if (plan.hasList) checkMovable(tablespaces, plan.table)
  if (options.isCatchup) await checkStandby(context, destination, chain[0]!, plan)
  throwIfCancelled(context.signal)

  makeDestination(destination.root)
  await locks.takeMade(destination.root)
  const identity = identityOf(chain, options, layout)
  const state = await FetchState.open(destination.root, identity, options)
  if (destination.isInterrupted || destination.isExisting) await removeControlFile(destination.root)
  if (destination.isExisting) removeOthers(context, destination, plan, links, options)
  makeTablespaces(destination.root, tablespaces)

  const { table, hasList, steps } = plan
  const restored = new RestoredFiles(table, checksumBytes(options.checksums))
  const dropped = tablespaces.keepsTablespaceMap ? [] : [TABLESPACE_MAP]
  const fetch: Fetch = { context, options, pool, state, restored, table, hasList, dropped }
  context.progress.begin('backup-fetch', plan.totalBytes)
  const trusted = findTrusted(fetch, steps, layout)
  await fetchSteps(fetch, steps, trusted)
  await completeFetch(fetch, steps.at(-1)!, layout)
  context.progress.end()
  context.log.info(`Backup ${target.name} is restored in "${destination.root}", every check passed.`)
  return { backup: target.name, chain: identity.chain }
}

/** What is in the directory and not in the backup: of a standby only what was dropped. */
function removeOthers(
  { log }: OperationContext,
  { root }: Destination,
  { table, hasList }: FetchPlan,
  links: ReadonlyMap<string, string>,
  options: BackupFetchOptions,
): void {
  if (options.isCatchup !== true) {
    removeForeign(root, hasList ? table : null, links)
    return
  }
  const count = hasList ? removeDropped(root, table) : 0
  if (count > 0) log.info(`Removed ${count} files of relations that the primary has dropped`)
}

/** Newest first; the late parts of the newest come last of all. */
async function fetchSteps(fetch: Fetch, steps: readonly FetchStep[], trusted: TrustedParts): Promise<void> {
  const { context, table, options } = fetch
  const target = steps.at(-1)!
  const pages = new NewerPagesBuilder(table.count, options.pageBytes)
  const isTrusted = ({ generation, part }: EarlyPart): boolean => trusted[generation]!.has(part.part)
  const early = new EarlyParts(
    fetch,
    steps,
    planEarlyParts(steps).filter(part => !isTrusted(part)),
  )
  let newer: NewerPagesData | null = null
  let targetRun: StepRun | undefined
  for (let generation = steps.length - 1; generation >= 0; generation--) {
    const step = steps[generation]!
    const isLast = generation === 0
    const run = await fetchStep(fetch, generation, step, trusted[generation]!, newer, early, result => {
      if (!isLast) pages.add(result)
    })
    targetRun ??= run
    if (!isLast) newer = pages.settle()
    if (step !== target) logStepEnd(context, step.backup, steps[generation + 1]!.backup)
  }
  await fetchLateParts(fetch, target, targetRun!)
  logStepEnd(context, target.backup, undefined)
}

function layoutOf(
  root: string,
  { tablespaces }: TablespacePlan,
  existing: ReadonlyMap<string, string>,
): TargetLayout {
  return {
    root,
    pending: { [PG_CONTROL]: pendingControlFile(root) },
    links: {
      ...Object.fromEntries(existing),
      ...Object.fromEntries(tablespaces.map(({ link, location }) => [link, location])),
    },
  }
}

function openPool(context: OperationContext, options: BackupFetchOptions, layout: TargetLayout): PartPool {
  const { codecDescription: codec, storageDescription: storage, signal, progress } = context
  const { pageBytes, isDurable, checksums } = options
  return new PartPool({
    workersCount: Math.min(availableParallelism(), options.concurrencyMax),
    storage,
    setup: {
      codec,
      layout,
      pageBytes,
      isDurable,
      checksums,
      keepsMatching: options.isIntoExisting === true,
      isCatchup: options.isCatchup === true,
      systemModule: options.systemModule ?? null,
    },
    signal,
    progress,
  })
}

function identityOf(
  chain: readonly ChainBackup[],
  options: BackupFetchOptions,
  layout: TargetLayout,
): FetchIdentity {
  const target = chain[0]!
  return {
    backup: target.name,
    chain: chain.map(({ name }) => name),
    startTime: JSON.stringify(target.document.sentinel.startTime),
    mask: options.mask,
    restoreOnly: options.restoreOnly,
    tablespaces: Object.entries(layout.links),
    checksums: options.checksums,
    ...(options.isIntoExisting === true ? { isIntoExisting: true } : {}),
  }
}

function findTrusted(fetch: Fetch, steps: readonly FetchStep[], layout: TargetLayout): TrustedParts {
  const { state, table, hasList, options } = fetch
  return trustedParts({
    state,
    backups: steps.map(({ parts, roles }) => ({ parts: parts.ordinary, roles })),
    table,
    hasList,
    tree: new TargetTree(layout),
    checksumBytes: checksumBytes(options.checksums),
  })
}

function logChain({ log }: OperationContext, chain: readonly ChainBackup[]): void {
  for (const { document } of chain) {
    const { delta } = document.sentinel
    if (delta !== null) log.info(`Delta from ${delta.parent} at LSN ${formatLsn(delta.lsn)} `)
  }
}

function logStepEnd({ log }: OperationContext, backup: ChainBackup, next: ChainBackup | undefined): void {
  log.info('\nBackup extraction complete.')
  const delta = next?.document.sentinel.delta
  if (!next || !delta) return
  const { lsn } = next.document.sentinel
  const reached = lsn === null ? '' : formatLsn(lsn)
  log.info(`${backup.name} fetched. Upgrading from LSN ${formatLsn(delta.lsn)} to LSN ${reached} `)
}
