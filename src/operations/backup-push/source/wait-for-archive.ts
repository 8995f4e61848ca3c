import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../kit/clock.ts'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import type { Logger } from '../../../kit/log.ts'
import { formatDurationMs } from '../../../kit/sizes.ts'
import { isMarkedDone, isMarkedReady } from '../../../postgres/archive-status.ts'
import type { ArchiverState } from '../../../postgres/cluster/cluster-facts.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import { findPayload } from '../../../repository/sealed.ts'
import { listWal } from '../../../repository/wal-catalog.ts'
import type { Storage } from '../../../storage/storage.ts'

export interface ArchiveWait {
  readonly storage: Storage
  /** Tried first when looking for an archived file. */
  readonly extension: string
  /** `<PGDATA>/pg_wal` of the server that archives; undefined when that is out of reach: then only the repository tells. */
  readonly walDirectory: string | undefined
  /** Archive files that the backup needs, in the order in which they are waited for. */
  readonly files: readonly string[]
  /** Undefined when the server that archives cannot be asked. */
  readonly readArchiver: (() => Promise<ArchiverState>) | undefined
  readonly log: Logger
  readonly signal: AbortSignal
  /** 0: no limit. */
  readonly timeoutMs: number
  readonly clock?: Pick<typeof systemClock, 'nowMs' | 'sleep'>
}

const POLL_MS_MIN = 10
const POLL_MS_MAX = 500
/** Before this nobody needs to know that there is a wait. */
const FIRST_WORD_MS = 1_000
const FIRST_WARNING_MS = 2_000
const WARNING_EVERY_MS_MAX = 60_000
/** The repository is asked without a local sign of success only this often. */
const LOOK_EVERY_MS = 1_000
/** PostgreSQL calls a file archived, the repository does not have it: a storage that lists late gets this long. */
const LATE_MS = 1_000

/**
 * Waits until PostgreSQL has archived `files`, as pg_backup_stop itself would, and looks into the repository for
 * them. Says what PostgreSQL is waiting for. Throws TIMEOUT, WAL_NOT_ARCHIVED (called archived by PostgreSQL, but
 * missing in a repository that holds other WAL), CANCELLED.
 */
export async function waitForArchive(wait: ArchiveWait): Promise<void> {
  const clock = wait.clock ?? systemClock
  const beganMs = clock.nowMs()
  const speaker = createSpeaker(wait, clock, beganMs)
  for (const file of wait.files) {
    let delayMs = POLL_MS_MIN
    let lookedMs = Number.NEGATIVE_INFINITY
    let doneMs: number | undefined
    for (;;) {
      const nowMs = clock.nowMs()
      const isLookDue = nowMs - lookedMs >= LOOK_EVERY_MS
      const isDone =
        wait.walDirectory === undefined
          ? isLookDue && (await hasPassed(wait, file))
          : await isArchived(wait.walDirectory, file)
      if (isDone) doneMs ??= nowMs
      if (isDone || isLookDue) {
        lookedMs = nowMs
        if (await isStored(wait, file)) break
      }
      if (doneMs !== undefined && nowMs - doneMs >= LATE_MS) {
        return await acceptForeignArchive(wait, file)
      }
      if (wait.timeoutMs > 0 && nowMs - beganMs >= wait.timeoutMs) throw await timeout(wait, file)
      await speaker.speak(file)
      await clock.sleep(delayMs, wait.signal)
      delayMs = Math.min(delayMs * 1.5, POLL_MS_MAX)
    }
  }
}

/** PostgreSQL's own opinion: marked `.done`, or recycled together with its mark. */
async function isArchived(walDirectory: string, file: string): Promise<boolean> {
  if (await isMarkedDone(walDirectory, file)) return true
  if (await isMarkedReady(walDirectory, file)) return false
  // The mark may have turned from ready to done between the two looks.
  if (await isMarkedDone(walDirectory, file)) return true
  const path = join(walDirectory, file)
  try {
    await stat(path)
    return false
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true
    throw fromSystemError(error, 'read', path)
  }
}

/** The same from afar: files are archived in the order of their names, `<segment>.<offset>.backup` behind its segment. */
async function hasPassed({ readArchiver }: ArchiveWait, file: string): Promise<boolean> {
  const last = (await readArchiver?.())?.lastArchivedName
  if (last === undefined || !/^[0-9A-F]{24}/.test(last)) return false
  return last.slice(0, 8) === file.slice(0, 8) && last.slice(0, 24) >= file.slice(0, 24)
}

/** Whether the repository has the file. */
export async function isStored(
  wait: Pick<ArchiveWait, 'storage' | 'extension' | 'signal'>,
  file: string,
): Promise<boolean> {
  const options = { firstExtension: wait.extension, signal: wait.signal }
  return (await findPayload(wait.storage, `${WAL_PREFIX}/${file}`, options)) !== null
}

/** A cluster may archive to another place than its backups: then this repository holds no WAL at all. */
async function acceptForeignArchive(wait: ArchiveWait, file: string): Promise<void> {
  for await (const object of listWal(wait.storage, { signal: wait.signal })) {
    throw new WalgError(
      'WAL_NOT_ARCHIVED',
      `PostgreSQL calls "${file}" archived, but it is not in storage "${wait.storage.name}", where "${object.file}" is`,
      {
        facts: { file, storage: wait.storage.name },
        hint: 'archive_command must put WAL where the backups are; a backup without its WAL cannot be restored',
      },
    )
  }
  wait.log.warning(
    `PostgreSQL calls "${file}" archived, but there is no WAL in storage "${wait.storage.name}": ` +
      'archive_command puts it elsewhere, and this backup can only be restored with the WAL from there',
  )
}

/** Tells a person now and then what the backup is waiting for, and why. */
function createSpeaker(
  wait: ArchiveWait,
  clock: Pick<typeof systemClock, 'nowMs'>,
  beganMs: number,
): { speak(file: string): Promise<void> } {
  let nextMs = beganMs + FIRST_WORD_MS
  let everyMs = FIRST_WARNING_MS
  let hasSpoken = false
  return {
    async speak(file: string): Promise<void> {
      const nowMs = clock.nowMs()
      if (nowMs < nextMs) return
      if (!hasSpoken) {
        hasSpoken = true
        nextMs = beganMs + FIRST_WARNING_MS
        wait.log.info(`Waiting for PostgreSQL to archive "${file}", which the backup needs`)
        return
      }
      nextMs = nowMs + everyMs
      everyMs = Math.min(everyMs * 2, WARNING_EVERY_MS_MAX)
      const seconds = Math.round((nowMs - beganMs) / 1000)
      const reason = await whyNotArchived(wait)
      wait.log.warning(`still waiting for PostgreSQL to archive "${file}" after ${seconds} s: ${reason}`)
    },
  }
}

async function whyNotArchived(wait: ArchiveWait): Promise<string> {
  if (wait.readArchiver === undefined) {
    return 'the primary archives it when the segment is full, which an idle one never does by itself (SELECT pg_switch_wal() there)'
  }
  const state = await wait.readArchiver()
  if (!state.isFailing) {
    const last = state.lastArchivedName
    return last === undefined ? 'nothing has been archived yet' : `the last file archived is "${last}"`
  }
  return (
    `archive_command has failed ${state.failedCount} times, last for "${state.lastFailedName}" ` +
    `at ${state.lastFailedTimeText}; the server log has its output`
  )
}

async function timeout(wait: ArchiveWait, file: string): Promise<WalgError> {
  const reason = await whyNotArchived(wait)
  // what pg_backup_stop has used up of it is milliseconds
  const limit = formatDurationMs(Math.ceil(wait.timeoutMs / 100) * 100)
  return new WalgError(
    'TIMEOUT',
    `"${file}" was not archived within ${limit} (WALG_STOP_BACKUP_TIMEOUT): ${reason}`,
    {
      facts: { file, timeoutMs: wait.timeoutMs },
      hint:
        wait.readArchiver === undefined
          ? 'set WALG_PRIMARY_CONNINFO, so that the primary can be asked to end the segment, then take the backup again'
          : 'mend archive_command, then take the backup again; without its WAL this one could not be restored',
    },
  )
}
