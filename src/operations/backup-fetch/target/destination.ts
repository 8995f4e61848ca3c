import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import { STATE_FOLDER } from '../resume/fetch-state.ts'

/** What is at the place that was named. */
export interface Destination {
  /** Absolute path, symbolic links resolved where it exists. */
  readonly root: string
  /** An earlier fetch was interrupted here. */
  readonly isInterrupted: boolean
  /** It is not empty, and is to be restored over. */
  readonly isExisting: boolean
}

/** The absolute path of a directory that need not exist, symbolic links resolved as far as it does. Throws TARGET_MISMATCH for a link to nothing. */
export function resolveDestination(given: string): string {
  return resolveMissing(path.resolve(given))
}

/** Looks at the destination and changes nothing. Throws TARGET_NOT_EMPTY, with a hint for an interrupted fetch. */
export function inspectDestination(given: string, isResume: boolean, isIntoExisting = false): Destination {
  const absolute = path.resolve(given)
  let names: string[]
  let root: string
  try {
    names = fs.readdirSync(absolute)
    root = fs.realpathSync(absolute)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT')
      return { root: resolveMissing(absolute), isInterrupted: false, isExisting: false }
    if (errnoOf(error) === 'ENOTDIR') {
      throw new WalgError('TARGET_MISMATCH', `"${absolute}" is not a directory`, {
        facts: { path: absolute },
      })
    }
    throw fromSystemError(error, 'read', absolute)
  }
  if (names.length === 0) return { root, isInterrupted: false, isExisting: false }
  const isInterrupted = names.includes(STATE_FOLDER)
  if (isIntoExisting) return { root, isInterrupted: isResume && isInterrupted, isExisting: true }
  if (isResume && isInterrupted) return { root, isInterrupted, isExisting: false }
  throw new WalgError('TARGET_NOT_EMPTY', `Directory ${absolute} for delta base must be empty`, {
    facts: { path: absolute },
    hint: hintOf(isInterrupted, isResume),
  })
}

function hintOf(isInterrupted: boolean, isResume: boolean): string {
  if (isInterrupted)
    return 'an interrupted backup-fetch is here: add --resume to go on with it, or empty the directory'
  const away = 'name an empty or missing directory; move the old data directory away first'
  if (!isResume) return away
  return `no interrupted backup-fetch is here: one that has ended with "every check passed" is complete and needs no --resume; otherwise ${away}`
}

function resolveMissing(absolute: string): string {
  try {
    return fs.realpathSync(absolute)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR')
      throw fromSystemError(error, 'read', absolute)
  }
  assertNoLink(absolute)
  const parent = path.dirname(absolute)
  return parent === absolute ? absolute : path.join(resolveMissing(parent), path.basename(absolute))
}

/** Of a path that leads nowhere: nothing can be made behind a link to nothing. */
function assertNoLink(absolute: string): void {
  let leadsTo: string
  try {
    leadsTo = fs.readlinkSync(absolute)
  } catch {
    return
  }
  const to = path.resolve(path.dirname(absolute), leadsTo)
  throw new WalgError(
    'TARGET_MISMATCH',
    `"${absolute}" is a symbolic link to "${to}", and there is nothing`,
    {
      facts: { path: absolute },
      hint: 'make the directory that the link leads to, remove the link, or name another directory',
    },
  )
}

/** Creates the directory (0700, its parents as the umask has it) unless it is there. */
export function makeDestination(root: string): void {
  try {
    fs.mkdirSync(path.dirname(root), { recursive: true })
    fs.mkdirSync(root, { recursive: true, mode: 0o700 })
    fs.chmodSync(root, 0o700)
  } catch (error) {
    throw fromSystemError(error, 'create', root)
  }
}
