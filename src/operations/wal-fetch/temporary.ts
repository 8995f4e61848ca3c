import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { randomHex } from '../../kit/atomic-file.ts'
import { errnoOf } from '../../kit/errors.ts'
import { mayBeRunning, ownIdentity } from '../../postgres/server/process-identity.ts'
import { removeFile } from './download.ts'

const SUFFIX = '.wal-g-tmp'
/** `.<destination>.<process>-<its start>.<16 digits>.wal-g-tmp`; without the middle where no /proc tells it. */
const TEMPORARY = /^\..+?(?:\.(\d+)-(\d+))?\.[0-9a-f]{16}\.wal-g-tmp$/
/** The file of a process that is not to be seen may be that of another container. */
const DEAD_MS = 5 * 60 * 1000
const NAMELESS_MS = 24 * 60 * 60 * 1000

/** A new name beside a destination, hidden from PostgreSQL, that says whose it is. */
export function temporaryBeside(destination: string): string {
  const [pid, start] = ownIdentity()?.split(' ') ?? []
  const owner = pid === undefined ? '' : `.${pid}-${start}`
  return join(dirname(destination), `.${basename(destination)}${owner}.${randomHex()}${SUFFIX}`)
}

/**
 * Removes what fetches that were killed have left in a directory: files of processes that are gone, and that nobody has
 * written to for minutes. Reads the whole directory, which takes milliseconds where it holds thousands of segments. What
 * cannot be removed stays.
 */
export function removeStaleTemporaries(directory: string): void {
  try {
    for (const name of readdirSync(directory)) {
      if (name.endsWith(SUFFIX) && isStale(directory, name)) removeFile(join(directory, name))
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
  }
}

function isStale(directory: string, name: string): boolean {
  const match = TEMPORARY.exec(name)
  const stats = statSync(join(directory, name), { throwIfNoEntry: false })
  if (match === null || stats?.isFile() !== true) return false
  const ageMs = Date.now() - stats.mtimeMs
  const [, pid, start] = match
  if (pid === undefined) return ageMs > NAMELESS_MS
  // a number is not given twice with one start, whatever boot it was in
  const boot = ownIdentity()?.split(' ')[2]
  const isAlive = mayBeRunning(`${pid} ${start} ${boot}`)
  return ageMs > DEAD_MS && !isAlive
}
