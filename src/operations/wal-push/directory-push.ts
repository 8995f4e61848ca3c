import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { prepareThreads } from '../../codec/prepare-threads.ts'
import { decodeError } from '../../kit/error-transport.ts'
import { fromSystemError, WalgError } from '../../kit/errors.ts'
import { markDone } from '../../postgres/archive-status.ts'
import type { StorageDescription } from '../../storage/description.ts'
import type { OperationContext } from '../context.ts'
import { type DirectoryPlan, type LackingFile, planDirectory } from './directory-plan.ts'
import type { DirectoryTask, DirectoryTaskResult } from './directory-worker.ts'
import { warnOfUnseen } from './guard/looks.ts'

export interface DirectoryPushOptions {
  /** `pg_wal`, or a data directory that has one. */
  readonly directory: string
  readonly preventOverwrite: boolean
  /** Further storages of the archive that answer. */
  readonly elsewhere?: readonly StorageDescription[]
  readonly requireSystemIdentifier: boolean
  readonly metadata: DirectoryTask['metadata']
  /** Threads at most. */
  readonly threadsMax: number
}

export interface DirectoryPushResult {
  readonly directory: string
  readonly stored: number
  readonly alreadyArchived: number
  /** What the archive lacks: pushes that failed, and files that could not be pushed at all. */
  readonly failed: readonly LackingFile[]
  /** Archived, but still marked `.ready`. */
  readonly unmarked: readonly LackingFile[]
  /** Files that were left alone, each with the reason. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[]
}

/**
 * Archives what a server left behind: everything it has marked `.ready`, oldest first, in parallel; each file is
 * marked `.done` when its object is durable. Without an archive status only segments that prove complete go. One file
 * that cannot be read, pushed or marked does not keep the others: what is rescued here may be the last copy.
 */
export async function pushDirectory(
  context: OperationContext,
  options: DirectoryPushOptions,
): Promise<DirectoryPushResult> {
  const directory = findWalDirectory(options.directory)
  const plan = await planDirectory(directory, context.signal)
  context.log.info(`Files will be uploaded to storage: ${context.storage.name}`)
  warnOfPlan(context, directory, plan)
  const { results, unmarked } = await pushAll(context, options, directory, plan)
  warnOfUnseen(
    context.log,
    context.storage.name,
    results.flatMap(({ unseen }) => unseen),
  )
  const failed = results.flatMap(result =>
    result.error === undefined ? [] : [{ name: result.name, error: decodeError(result.error) }],
  )
  for (const { name, error } of failed) context.log.error(`push of ${name} failed: ${error.message}`)
  const alreadyArchived = results.filter(result => result.kind === 'already-archived').length
  const stored = results.filter(result => result.kind === 'stored').length
  return {
    directory,
    stored,
    alreadyArchived,
    failed: [...failed, ...plan.lacking],
    unmarked,
    leftOut: plan.leftOut,
  }
}

function warnOfPlan(
  { log }: OperationContext,
  directory: string,
  { names, leftOut, lacking, holes, hasArchiveStatus }: DirectoryPlan,
): void {
  for (const { name, reason } of leftOut) log.warning(`${name} is not pushed: ${reason}`)
  for (const { name, error } of lacking) {
    log.warning(`${name} is not pushed, and the archive may lack it: ${error.message}`)
  }
  for (const hole of holes) log.warning(`${hole} not there: the archive lacks what it does not have already`)
  if (hasArchiveStatus || names.length + leftOut.length + lacking.length > 0) return
  log.warning(`there is no WAL in "${directory}": is that the directory that was meant?`)
}

function findWalDirectory(path: string): string {
  const directory = resolve(path)
  let isDirectory: boolean
  try {
    isDirectory = statSync(directory).isDirectory()
  } catch (error) {
    throw fromSystemError(error, 'read', directory)
  }
  if (!isDirectory) throw new WalgError('FILE_NOT_FOUND', `no such directory: "${directory}"`)
  const inside = join(directory, 'pg_wal')
  return existsSync(join(directory, 'PG_VERSION')) && existsSync(inside) ? inside : directory
}

async function pushAll(
  context: OperationContext,
  options: DirectoryPushOptions,
  directory: string,
  plan: DirectoryPlan,
): Promise<{ readonly results: readonly DirectoryTaskResult[]; readonly unmarked: readonly LackingFile[] }> {
  const queue = [...plan.names]
  const results: DirectoryTaskResult[] = []
  const unmarked: LackingFile[] = []
  const task: Omit<DirectoryTask, 'name'> = {
    directory,
    takesNotes: plan.hasArchiveStatus,
    storage: context.storageDescription,
    codec: context.codecDescription,
    preventOverwrite: options.preventOverwrite,
    elsewhere: options.elsewhere ?? [],
    requireSystemIdentifier: options.requireSystemIdentifier,
    metadata: options.metadata,
  }
  const runThread = async (): Promise<void> => {
    const thread = openThread()
    try {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
        context.signal.throwIfAborted()
        const result = await thread.run({ ...task, name })
        for (const { level, message } of result.messages) context.log[level](message)
        results.push(result)
        if (result.error !== undefined || !plan.hasArchiveStatus) continue
        const error = await tryToMark(context, directory, name)
        if (error !== undefined) unmarked.push({ name, error })
      }
    } finally {
      thread.close()
    }
  }
  await prepareThreads(context.codecDescription)
  const threads = Math.min(options.threadsMax, plan.names.length)
  const settled = await Promise.allSettled(Array.from({ length: threads }, runThread))
  const failure = settled.find(outcome => outcome.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  return { results, unmarked }
}

/** The mark is the server's concern, the object is ours: without the mark the server only asks once more. */
async function tryToMark(
  { log }: OperationContext,
  directory: string,
  name: string,
): Promise<Error | undefined> {
  try {
    await markDone(directory, name)
    return undefined
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    log.warning(`${name} is archived, but cannot be marked .done: ${error.message}`)
    return error
  }
}

interface Thread {
  run(task: DirectoryTask): Promise<DirectoryTaskResult>
  close(): void
}

/** A worker that takes one file at a time. Its death fails the file it was working on. */
function openThread(): Thread {
  const worker = new Worker(new URL('./directory-worker.ts', import.meta.url).href)
  return {
    run: task =>
      new Promise((done, fail) => {
        worker.onmessage = (event: MessageEvent<DirectoryTaskResult>): void => done(event.data)
        worker.onerror = (event: ErrorEvent): void => fail(new Error(`push thread died: ${event.message}`))
        worker.postMessage(task)
      }),
    close: () => worker.terminate(),
  }
}
