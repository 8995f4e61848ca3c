import { statSync } from 'node:fs'
import { openCodec } from '../../codec/open-codec.ts'
import { errnoOf, fromSystemError, hasCode, WalgError } from '../../kit/errors.ts'
import type { OperationContext } from '../../operations/context.ts'
import { TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation, PushStorage } from '../command.ts'
import { withOpened } from '../opened-storages.ts'

export const command: CommandDefinition = {
  name: 'wal-push',
  usage: 'wal-push wal_filepath',
  summary: 'Uploads a WAL file to storage',
  positionals: { kind: 'exact', count: 1 },
  flags: [TARGET_STORAGE_FLAG],
  needsStorage: true,
  isWalTraffic: true,
  async run(invocation: Invocation): Promise<number> {
    const path = invocation.positionals[0] ?? ''
    const isForDirectory = isDirectory(path)
    return withOpened(await openArchive(invocation, isForDirectory), async push => {
      const { storage, storageDescription } = push
      const codec = openCodec(invocation.codecDescription)
      const time = limitTime(invocation, isForDirectory ? 0 : invocation.settings.WALG_UPLOAD_TIMEOUT)
      try {
        const { signal } = time
        const context: OperationContext = { ...invocation, storage, storageDescription, codec, signal }
        const status = isForDirectory
          ? await pushDirectoryOf(context, invocation, push, path)
          : await pushFile(context, invocation, push, path)
        await push.fillMirrors(true)
        return status
      } finally {
        time.end()
      }
    })
  },
}

/** With the guard switched off a storage that denies being looked at can be archived into. */
async function openArchive(invocation: Invocation, isForDirectory: boolean): Promise<PushStorage> {
  const mayBeUnseen = !invocation.settings.WALG_PREVENT_WAL_OVERWRITE
  try {
    return await invocation.openForPush({ isProved: !isForDirectory, mayBeUnseen })
  } catch (error) {
    if (mayBeUnseen || !hasCode(error, 'ACCESS_DENIED')) throw error
    const { lookDenied } = await import('../../operations/wal-push/guard/looks.ts')
    throw lookDenied(error)
  }
}

/** A signal that is aborted by the caller's, and with TIMEOUT when the time is up; 0 = never. */
function limitTime({ signal }: Invocation, timeoutMs: number): { signal: AbortSignal; end(): void } {
  if (timeoutMs === 0) return { signal, end: () => {} }
  const stop = new AbortController()
  const giveUp = (): void =>
    stop.abort(
      new WalgError('TIMEOUT', `wal-push has not ended within ${timeoutMs / 1000} s`, {
        facts: { timeoutMs },
        hint: 'nothing is acknowledged, the server will try again; WALG_UPLOAD_TIMEOUT sets the time',
      }),
    )
  const timer = setTimeout(giveUp, timeoutMs)
  return { signal: AbortSignal.any([signal, stop.signal]), end: () => clearTimeout(timer) }
}

async function pushFile(
  context: OperationContext,
  { settings }: Invocation,
  push: PushStorage,
  path: string,
): Promise<number> {
  const { walPush } = await import('../../operations/wal-push/wal-push.ts')
  await walPush(context, {
    path,
    dataDirectory: settings.PGDATA,
    preventOverwrite: settings.WALG_PREVENT_WAL_OVERWRITE,
    elsewhere: async () => (await push.elsewhere()).map(({ storage }) => storage),
    requireSystemIdentifier: settings.WALG_REQUIRE_SYSTEM_IDENTIFIER,
    metadata: settings.WALG_UPLOAD_WAL_METADATA,
    filesMax: settings.TOTAL_BG_UPLOADED_LIMIT,
    uploadConcurrency: settings.WALG_UPLOAD_CONCURRENCY,
    readyRename: settings.PG_READY_RENAME,
    recordsChanges: settings.WALG_USE_WAL_DELTA,
  })
  return 0
}

async function pushDirectoryOf(
  context: OperationContext,
  { settings }: Invocation,
  push: PushStorage,
  path: string,
): Promise<number> {
  const { pushDirectory } = await import('../../operations/wal-push/directory-push.ts')
  const { availableParallelism } = await import('node:os')
  const result = await pushDirectory(context, {
    directory: path,
    preventOverwrite: settings.WALG_PREVENT_WAL_OVERWRITE,
    elsewhere: (await push.elsewhere()).map(({ description }) => description),
    requireSystemIdentifier: settings.WALG_REQUIRE_SYSTEM_IDENTIFIER,
    metadata: settings.WALG_UPLOAD_WAL_METADATA,
    threadsMax: Math.min(settings.WALG_UPLOAD_CONCURRENCY, availableParallelism()),
  })
  const { directory, failed, unmarked } = result
  const notMarked = unmarked.length === 0 ? '' : `, ${unmarked.length} archived but not marked .done`
  const counts = `${result.stored} pushed, ${result.alreadyArchived} already archived, ${result.leftOut.length} left out, ${failed.length} failed${notMarked}`
  const cause = (failed[0] ?? unmarked[0])?.error
  if (cause === undefined) {
    context.log.info(`WAL of "${directory}": ${counts}`)
    return 0
  }
  throw new WalgError('WAL_NOT_ARCHIVED', `WAL of "${directory}": ${counts}`, {
    cause,
    hint: 'mend the cause named above and run the command again; what is archived is skipped',
  })
}

/** What is not there is the pusher's to report. */
function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw fromSystemError(error, 'archive', path)
  }
}
