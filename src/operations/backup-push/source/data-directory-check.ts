import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import { readRegularFile } from '../../../kit/file-system.ts'
import { type ControlFile, readControlFile } from '../../../postgres/control-file.ts'

/** A directory that looks like PostgreSQL's, before anything is asked of a server. */
export interface CheckedDirectory {
  /** As the person gave it. */
  readonly given: string
  /** Absolute, symbolic links resolved. */
  readonly root: string
  /** Of `PG_VERSION`. */
  readonly majorVersion: number
  readonly control: ControlFile
  readonly hasBackupLabel: boolean
  /** There is a `postmaster.pid`: its process may live where it cannot be seen from here (in a container). */
  readonly isInUse: boolean
}

const GIVE_PGDATA = 'give the data directory of the cluster (SHOW data_directory)'

/**
 * Looks at a data directory. Throws FILE_NOT_FOUND, FILE_ACCESS, VERSION_UNSUPPORTED, or what `readControlFile` does.
 */
export async function checkDataDirectory(given: string): Promise<CheckedDirectory> {
  const root = resolveDirectory(given)
  const majorVersion = readMajorVersion(root)
  return {
    given,
    root,
    majorVersion,
    control: await readControlFile(root),
    hasBackupLabel: hasFile(root, 'backup_label'),
    isInUse: hasFile(root, 'postmaster.pid'),
  }
}

/**
 * True for a directory that no server runs on and that is whole as it stands: shut down cleanly, or written by
 * backup-fetch and never started. With a `postmaster.pid`, even of a dead process, it is not.
 */
export function isAtRest(directory: CheckedDirectory): boolean {
  if (directory.isInUse) return false
  return directory.hasBackupLabel || isShutDown(directory.control)
}

function isShutDown({ state }: ControlFile): boolean {
  return state === 'shut down' || state === 'shut down in recovery'
}

function hasFile(root: string, name: string): boolean {
  return statSync(join(root, name), { throwIfNoEntry: false }) !== undefined
}

function resolveDirectory(given: string): string {
  try {
    const root = realpathSync(given)
    if (!statSync(root).isDirectory()) {
      throw new WalgError('FILE_ACCESS', `data directory "${given}" is not a directory`, {
        facts: { path: given },
        hint: GIVE_PGDATA,
      })
    }
    accessSync(root, constants.R_OK | constants.X_OK)
    return root
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      throw new WalgError('FILE_NOT_FOUND', `data directory "${given}" does not exist`, {
        facts: { path: given },
        cause: error,
        hint: GIVE_PGDATA,
      })
    }
    throw fromSystemError(error, 'read', given)
  }
}

function readMajorVersion(root: string): number {
  const path = join(root, 'PG_VERSION')
  let text: string
  try {
    text = readRegularFile(path).toString().trim()
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fromSystemError(error, 'read', path)
    throw new WalgError(
      'FILE_NOT_FOUND',
      `"${root}" is not a PostgreSQL data directory: it has no PG_VERSION`,
      {
        facts: { path },
        cause: error,
        hint: GIVE_PGDATA,
      },
    )
  }
  const major = /^\d+$/.test(text) ? Number(text) : 0
  if (major < 13) {
    throw new WalgError('VERSION_UNSUPPORTED', `"${path}" says "${text}": PostgreSQL 13 or newer is needed`, {
      facts: { path },
    })
  }
  return major
}
