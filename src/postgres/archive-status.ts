import { open, readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, fromSystemError } from '../kit/errors.ts'
import { isHistoryName } from './wal-segment.ts'

/** PostgreSQL's archiver takes names of 16 to 40 characters, of hex digits, dots and the letters of its suffixes. */
const ARCHIVE_NAME = /^[0-9A-F.abchikloprstuy]{16,40}$/
const READY_SUFFIX = '.ready'
const DONE_SUFFIX = '.done'

/** `<pg_wal>/archive_status`. */
export function archiveStatusDirectory(walDirectory: string): string {
  return join(walDirectory, 'archive_status')
}

/**
 * Orders archive files as PostgreSQL's own archiver does: history files first, so that a new timeline is known
 * before its WAL arrives, then by name, which is oldest first.
 */
export function compareArchiveNames(left: string, right: string): number {
  const leftIsHistory = isHistoryName(left)
  if (leftIsHistory !== isHistoryName(right)) return leftIsHistory ? -1 : 1
  return left < right ? -1 : left > right ? 1 : 0
}

/**
 * Names of the files that PostgreSQL has marked `.ready`, in archiving order, without the suffix. Undefined when
 * there is no archive_status directory at all. Names the archiver itself would not take are left out.
 */
export async function listReady(walDirectory: string): Promise<string[] | undefined> {
  return listMarked(walDirectory, READY_SUFFIX)
}

/** Names marked `.done`, in archiving order; undefined when there is no archive_status directory. */
export async function listDone(walDirectory: string): Promise<string[] | undefined> {
  return listMarked(walDirectory, DONE_SUFFIX)
}

/**
 * Turns `NAME.ready` into `NAME.done`, durably: after this returns, a crash does not bring `.ready` back.
 * A mark that is gone already (the archiver was quicker) is not an error; returns false then.
 */
export async function markDone(walDirectory: string, name: string): Promise<boolean> {
  const directory = archiveStatusDirectory(walDirectory)
  const ready = join(directory, name + READY_SUFFIX)
  try {
    await rename(ready, join(directory, name + DONE_SUFFIX))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw fromSystemError(error, 'rename', ready)
  }
  await syncDirectory(directory)
  return true
}

/** True when the archiver (or `markDone`) has recorded `name` as archived. */
export async function isMarkedDone(walDirectory: string, name: string): Promise<boolean> {
  return hasMark(walDirectory, name + DONE_SUFFIX)
}

/** True when `name` waits to be archived. */
export async function isMarkedReady(walDirectory: string, name: string): Promise<boolean> {
  return hasMark(walDirectory, name + READY_SUFFIX)
}

async function hasMark(walDirectory: string, fileName: string): Promise<boolean> {
  const path = join(archiveStatusDirectory(walDirectory), fileName)
  try {
    await stat(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw fromSystemError(error, 'look at', path)
  }
}

async function listMarked(walDirectory: string, suffix: string): Promise<string[] | undefined> {
  const directory = archiveStatusDirectory(walDirectory)
  let names: string[]
  try {
    names = await readdir(directory)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fromSystemError(error, 'list', directory)
    return await missingStatus(walDirectory)
  }
  return names
    .filter(name => name.endsWith(suffix))
    .map(name => name.slice(0, -suffix.length))
    .filter(name => ARCHIVE_NAME.test(name))
    .sort(compareArchiveNames)
}

/** No archive_status: fine below an existing directory, an error when the directory itself is missing. */
async function missingStatus(walDirectory: string): Promise<undefined> {
  try {
    await stat(walDirectory)
  } catch (error) {
    throw fromSystemError(error, 'list', walDirectory)
  }
  return undefined
}

async function syncDirectory(directory: string): Promise<void> {
  try {
    const handle = await open(directory, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw fromSystemError(error, 'fsync', directory)
  }
}
