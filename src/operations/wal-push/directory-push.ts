import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { prepareThreads } from '../../codec/prepare-threads.ts'
import { decodeError } from '../../kit/error-transport.ts'
import { WalgError } from '../../kit/errors.ts'
import { compareArchiveNames, listReady, markDone } from '../../postgres/archive-status.ts'
import { findEndOfValidWal } from '../../postgres/wal/record.ts'
import { isHistoryName, isSegmentName } from '../../postgres/wal-segment.ts'
import type { OperationContext } from '../context.ts'
import type { DirectoryTask, DirectoryTaskResult } from './directory-worker.ts'
import { checkSegmentFile } from './segment-file.ts'

export interface DirectoryPushOptions {
  /** `pg_wal`, or a data directory that has one. */
  readonly directory: string
  readonly preventOverwrite: boolean
  readonly requireSystemIdentifier: boolean
  readonly metadata: DirectoryTask['metadata']
  /** Threads at most. */
  readonly threadsMax: number
}

export interface DirectoryPushResult {
  readonly directory: string
  readonly stored: number
  readonly alreadyArchived: number
  readonly failed: readonly { readonly name: string; readonly error: Error }[]
  /** Files that were left alone, each with the reason. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[]
}

/** What a directory push will do, decided before the first byte moves. */
export interface DirectoryPlan {
  readonly names: readonly string[]
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[]
  readonly hasArchiveStatus: boolean
}

/**
 * Archives what a server left behind: everything it has marked `.ready`, oldest first, in parallel; each file is
 * marked `.done` when its object is durable. Without an archive status only segments that prove complete go.
 */
export async function pushDirectory(
  context: OperationContext,
  options: DirectoryPushOptions,
): Promise<DirectoryPushResult> {
  const directory = findWalDirectory(options.directory)
  const plan = await planDirectory(directory, context.signal)
  context.log.info(`Files will be uploaded to storage: ${context.storage.name}`)
  for (const { name, reason } of plan.leftOut) context.log.warning(`${name} is not pushed: ${reason}`)
  const results = await pushAll(context, options, directory, plan)
  const failed = results.flatMap(result =>
    result.error === undefined ? [] : [{ name: result.name, error: decodeError(result.error) }],
  )
  for (const { name, error } of failed) context.log.error(`push of ${name} failed: ${error.message}`)
  const alreadyArchived = results.filter(result => result.kind === 'already-archived').length
  const stored = results.filter(result => result.kind === 'stored').length
  return { directory, stored, alreadyArchived, failed, leftOut: plan.leftOut }
}

function findWalDirectory(path: string): string {
  const directory = resolve(path)
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new WalgError('FILE_NOT_FOUND', `no such directory: "${directory}"`)
  }
  const inside = join(directory, 'pg_wal')
  return existsSync(join(directory, 'PG_VERSION')) && existsSync(inside) ? inside : directory
}

/** Reads the directory and decides. Throws FILE_ACCESS. */
export async function planDirectory(directory: string, signal: AbortSignal): Promise<DirectoryPlan> {
  const ready = await listReady(directory)
  if (ready === undefined) return await planWithoutStatus(directory, signal)
  const leftOut = ready
    .filter(name => !existsSync(join(directory, name)))
    .map(name => ({ name, reason: 'marked .ready, but the file is not there' }))
  const missing = new Set(leftOut.map(entry => entry.name))
  return { names: ready.filter(name => !missing.has(name)), leftOut, hasArchiveStatus: true }
}

/** Page addresses tell recycled files from real ones, the records tell how far the real ones are written. */
async function planWithoutStatus(directory: string, signal: AbortSignal): Promise<DirectoryPlan> {
  const leftOut: { name: string; reason: string }[] = []
  const history: string[] = []
  const sound: string[] = []
  for (const name of readdirSync(directory).sort(compareArchiveNames)) {
    if (isHistoryName(name)) history.push(name)
    if (!isSegmentName(name)) continue
    if (!statSync(join(directory, name)).isFile()) {
      leftOut.push({ name, reason: 'not a regular file' })
      continue
    }
    const { fault } = checkSegmentFile(join(directory, name))
    if (fault === undefined) sound.push(name)
    else leftOut.push({ name, reason: fault.message })
  }
  const complete = new Set<string>()
  for (const run of runsOfSegments(sound)) {
    const valid = await findEndOfValidWal(directory, run, signal)
    for (const name of valid.complete) complete.add(name)
    for (const name of run) {
      if (!valid.complete.includes(name))
        leftOut.push({ name, reason: `not proved complete: ${valid.reason}` })
    }
  }
  return {
    names: [...history, ...sound.filter(name => complete.has(name))],
    leftOut,
    hasArchiveStatus: false,
  }
}

/** Splits sorted names where the timeline changes; a gap inside one is found by the reader of the records. */
function runsOfSegments(names: readonly string[]): string[][] {
  const runs: string[][] = []
  for (const name of names) {
    const run = runs.at(-1)
    if (run !== undefined && run[0]?.slice(0, 8) === name.slice(0, 8)) run.push(name)
    else runs.push([name])
  }
  return runs
}

async function pushAll(
  context: OperationContext,
  options: DirectoryPushOptions,
  directory: string,
  plan: DirectoryPlan,
): Promise<DirectoryTaskResult[]> {
  const queue = [...plan.names]
  const results: DirectoryTaskResult[] = []
  const task: Omit<DirectoryTask, 'name'> = {
    directory,
    takesNotes: plan.hasArchiveStatus,
    storage: context.storageDescription,
    codec: context.codecDescription,
    preventOverwrite: options.preventOverwrite,
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
        if (result.error === undefined && plan.hasArchiveStatus) await markDone(directory, name)
        results.push(result)
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
  return results
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
