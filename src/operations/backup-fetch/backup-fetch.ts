import { availableParallelism } from 'node:os'
import { throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import { type BackupSelection, selectBackup } from '../../repository/selector.ts'
import type { TablespaceSpec } from '../../repository/tablespace-spec.ts'
import type { OperationContext } from '../context.ts'
import { completeFetch } from './complete-fetch.ts'
import { type Fetch, fetchStep } from './fetch-step.ts'
import { PartPool } from './part/part-pool.ts'
import { checksumBytes, type ManifestChecksums } from './part/part-protocol.ts'
import { type ChainBackup, readChain } from './plan/chain.ts'
import { type FetchStep, planFetch } from './plan/chain-plan.ts'
import { PG_CONTROL, TABLESPACE_MAP } from './plan/member-roles.ts'
import { RestoredFiles } from './restored-files.ts'
import { FetchState } from './resume/fetch-state.ts'
import { trustedParts } from './resume/resume.ts'
import { inspectDestination, makeDestination } from './target/destination.ts'
import { checkTablespaceLocations, makeTablespaces, planTablespaces } from './target/tablespaces.ts'
import { type TargetLayout, TargetTree } from './target/target-tree.ts'

export interface BackupFetchOptions {
  /** Where to; need not exist. */
  readonly destination: string
  readonly selection: BackupSelection
  /** Go's filepath.Match, without its leading slash; '' = everything. */
  readonly mask: string
  /** Tablespaces elsewhere than they were. */
  readonly restoreSpec: TablespaceSpec | null
  /** Goes on with an interrupted fetch. */
  readonly isResume: boolean
  /** Parts that are read at a time, at most; never more than there are CPUs. */
  readonly concurrencyMax: number
  /** Further tries for an object that cannot be read. */
  readonly retriesMax: number
  /** false: nothing is flushed to disk. */
  readonly isDurable: boolean
  readonly checksums: ManifestChecksums
  readonly pageBytes: number
  /** Restores although the content manifest is missing or damaged. */
  readonly ignoresContentManifest: boolean
}

export interface BackupFetchResult {
  readonly backup: string
  /** Newest first. */
  readonly chain: readonly string[]
}

/** Restores a backup: the full one and every delta on it, oldest first, verified before pg_control is put in place. */
export async function backupFetch(
  context: OperationContext,
  options: BackupFetchOptions,
): Promise<BackupFetchResult> {
  const { storage, log, signal } = context
  const target = await selectTarget(context, options.selection)
  const chain = await readChain(storage, target, { signal })
  for (const [index, { name }] of chain.entries()) {
    const child = chain[index - 1]?.document.sentinel.delta
    if (child) log.info(`Delta from ${name} at LSN ${formatLsn(child.lsn)} `)
  }
  const destination = inspectDestination(options.destination, options.isResume)
  const { spec } = target.document.sentinel
  const tablespaces = planTablespaces(destination.root, spec, options.restoreSpec)
  if (!destination.isInterrupted) checkTablespaceLocations(tablespaces)
  const plan = await planFetch(context, chain, options, tablespaces.keepsTablespaceMap)
  throwIfCancelled(signal)

  makeDestination(destination.root)
  const links = tablespaces.tablespaces.map(({ link, location }) => [link, location] as const)
  const identity = {
    backup: target.name,
    chain: chain.map(({ name }) => name),
    startTime: JSON.stringify(target.document.sentinel.startTime),
    mask: options.mask,
    tablespaces: links,
    checksums: options.checksums,
  }
  const state = await FetchState.open(destination.root, identity, options)
  makeTablespaces(destination.root, tablespaces)
  const layout: TargetLayout = {
    root: destination.root,
    pending: { [PG_CONTROL]: state.pendingControlFile },
    links: Object.fromEntries(links),
  }
  const restored = new RestoredFiles(plan.table, checksumBytes(options.checksums))
  const trusted = trustedParts({
    state,
    backups: plan.steps.map(({ parts, roles }) => ({ parts: parts.ordinary, roles })),
    table: plan.table,
    hasList: plan.hasList,
    tree: new TargetTree(layout),
    checksumBytes: checksumBytes(options.checksums),
  })

  context.progress.begin('backup-fetch', plan.totalBytes)
  await using pool = new PartPool({
    workersCount: workersCountFor(plan.steps, options.concurrencyMax),
    storage: context.storageDescription,
    setup: {
      codec: context.codecDescription,
      layout,
      pageBytes: options.pageBytes,
      isDurable: options.isDurable,
      checksums: options.checksums,
    },
    signal,
    progress: context.progress,
  })
  const { table, hasList } = plan
  const dropped = tablespaces.keepsTablespaceMap ? [] : [TABLESPACE_MAP]
  const fetch: Fetch = { context, options, pool, state, restored, table, hasList, dropped }
  for (const [generation, step] of plan.steps.entries()) {
    await fetchStep(fetch, generation, step, trusted[generation]!)
    logStepEnd(context, step.backup, chain[chain.length - 2 - generation])
  }
  await completeFetch(fetch, plan.steps.at(-1)!, layout)
  context.progress.end()
  return { backup: target.name, chain: identity.chain }
}

async function selectTarget(
  context: OperationContext,
  selection: BackupSelection,
): ReturnType<typeof selectBackup> {
  const { storage, log, signal } = context
  if (selection.kind === 'latest') log.info('Selecting the latest backup...')
  else if (selection.kind === 'name') log.info(`Selecting the backup with name ${selection.name}...`)
  else log.info('Selecting the backup with the specified user data...')
  log.info(`Backup to fetch will be searched in storages: [${storage.name}]`)
  const target = await selectBackup(storage, selection, { signal }).catch((error: unknown) => {
    if (!(error instanceof WalgError)) throw error
    const { code, message, facts, hint } = error
    const details = { facts, cause: error, ...(hint === undefined ? {} : { hint }) }
    throw new WalgError(code, `Failed to select backup: ${message}`, details)
  })
  if (selection.kind === 'latest') log.info(`LATEST backup is: '${target.name}'`)
  return target
}

function logStepEnd({ log }: OperationContext, backup: ChainBackup, next: ChainBackup | undefined): void {
  log.info('\nBackup extraction complete.')
  const delta = next?.document.sentinel.delta
  if (!next || !delta) return
  const { lsn } = next.document.sentinel
  const reached = lsn === null ? '' : formatLsn(lsn)
  log.info(`${backup.name} fetched. Upgrading from LSN ${formatLsn(delta.lsn)} to LSN ${reached} `)
}

function workersCountFor(steps: readonly FetchStep[], concurrencyMax: number): number {
  const partsMax = Math.max(1, ...steps.map(({ parts }) => parts.ordinary.length))
  return Math.min(availableParallelism(), concurrencyMax, partsMax)
}
