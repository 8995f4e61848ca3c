import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { hasCode } from '../kit/errors.ts'

/** The only place that knows exit statuses. */
export const EXIT_SUCCESS = 0
export const EXIT_FAILURE = 1
/** A check that was asked to tell its result by the status: something is not as it should be yet, or is wrong. */
export const EXIT_CHECK_WARNING = 3
export const EXIT_CHECK_FAILURE = 4
/** wal-fetch: the storage answered, the file is not in the archive. */
export const EXIT_NOT_IN_ARCHIVE = 74
/** wal-fetch: PostgreSQL must stop instead of taking the failure for the end of WAL. */
export const EXIT_STOP_RECOVERY = 126
export const EXIT_INTERRUPTED = 130
/** A higher status of archive_command would kill the archiver process. */
const EXIT_ARCHIVER_MAX = 125

/** What decides about the exit status besides the error itself. */
export interface ExitFacts {
  /** Undefined for the root command. */
  readonly verb: string | undefined
  readonly positionals: readonly string[]
  readonly workingDirectory: string
  readonly pgdata: string | undefined
  /** WALG_FETCH_ERROR_EXIT_CODE. */
  readonly fetchErrorExitCode: number | undefined
}

/** The exit status of a command that failed with `error`. */
export function exitCodeOf(error: unknown, facts: ExitFacts): number {
  if (facts.verb === 'wal-fetch') {
    return hasCode(error, 'WAL_NOT_FOUND') ? EXIT_NOT_IN_ARCHIVE : fetchFailureCode(facts)
  }
  if (facts.verb === 'wal-push') return EXIT_FAILURE
  return hasCode(error, 'CANCELLED') ? EXIT_INTERRUPTED : EXIT_FAILURE
}

/** The exit status of a command that returned `code` by itself. */
export function exitCodeOfResult(code: number, facts: ExitFacts): number {
  if (code === EXIT_SUCCESS) return code
  if (facts.verb === 'wal-fetch' && code !== EXIT_NOT_IN_ARCHIVE) return fetchFailureCode(facts)
  if (facts.verb === 'wal-push') return Math.min(code, EXIT_ARCHIVER_MAX)
  return code
}

/**
 * The exit status of a wal-fetch that failed for another reason than a missing file. In recovery by
 * recovery.signal PostgreSQL takes a status up to 125 for the end of WAL and would promote too early; on a
 * standby a higher one would shut the server down.
 */
function fetchFailureCode(facts: ExitFacts): number {
  if (facts.fetchErrorExitCode !== undefined) return facts.fetchErrorExitCode
  return isRecoveringForGood(facts) ? EXIT_STOP_RECOVERY : EXIT_FAILURE
}

/** True when a wal-fetch serves a server that will promote itself at the end of WAL: recovery.signal, no standby.signal. */
export function isRecoveringForGood(
  facts: Pick<ExitFacts, 'positionals' | 'workingDirectory' | 'pgdata'>,
): boolean {
  for (const directory of dataDirectoryCandidates(facts)) {
    if (existsSync(join(directory, 'standby.signal'))) return false
    if (existsSync(join(directory, 'recovery.signal'))) return true
  }
  return false
}

/** The data directory as the destination's neighbour (pg_wal may be a link: no link is followed), the working directory, PGDATA. */
function dataDirectoryCandidates(
  facts: Pick<ExitFacts, 'positionals' | 'workingDirectory' | 'pgdata'>,
): string[] {
  const destination = facts.positionals[1]
  const besideWal =
    destination === undefined ? [] : [dirname(dirname(resolve(facts.workingDirectory, destination)))]
  return [...besideWal, facts.workingDirectory, ...(facts.pgdata === undefined ? [] : [facts.pgdata])]
}
