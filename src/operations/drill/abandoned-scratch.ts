import fs from 'node:fs'
import path from 'node:path'
import { systemClock } from '../../kit/clock.ts'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import { isAlive, runningServer } from '../../postgres/server/postmaster-file.ts'
import { mayBeRunning, ownIdentity } from '../../postgres/server/process-identity.ts'

/** The directories of drills begin with this. */
export const SCRATCH_PREFIX = 'wal-g-drill-'
const OWNER_FILE = 'drill.owner'
const STOP_MS_MAX = 30_000
const POLL_MS = 50

/** Notes in a new scratch directory which process it belongs to; one that is to be kept has no owner that could be found dead. */
export function markScratch(scratch: string): void {
  const identity = ownIdentity()
  const file = path.join(scratch, OWNER_FILE)
  try {
    if (identity !== undefined) fs.writeFileSync(file, identity, { mode: 0o600 })
  } catch (error) {
    throw fromSystemError(error, 'write', file)
  }
}

/**
 * Removes from `parent` what drills have left there that were killed: directories of this user whose owner is gone, and a server of
 * theirs that is still up. What cannot be removed is told, and stays.
 */
export async function removeAbandoned(parent: string, log: Pick<Logger, 'info' | 'warning'>): Promise<void> {
  for (const name of fs.readdirSync(parent)) {
    const scratch = path.join(parent, name)
    if (!name.startsWith(SCRATCH_PREFIX) || !isAbandoned(scratch)) continue
    try {
      await stopServer(path.join(scratch, 'data'))
      fs.rmSync(scratch, { recursive: true, force: true })
      log.info(`Removed "${scratch}": it was left by a drill that was killed`)
    } catch (error) {
      log.warning(
        `"${scratch}" was left by a drill that was killed and cannot be removed: ${(error as Error).message}`,
      )
    }
  }
}

function isAbandoned(scratch: string): boolean {
  try {
    const stats = fs.lstatSync(scratch)
    if (!stats.isDirectory() || stats.uid !== process.getuid?.()) return false
    return !mayBeRunning(fs.readFileSync(path.join(scratch, OWNER_FILE), 'utf8'))
  } catch (error) {
    // another drill has just removed it, or it is none of ours
    if (errnoOf(error) === 'ENOENT') return false
    throw fromSystemError(error, 'look at', scratch)
  }
}

/** Its directory is about to go: it need not end well. */
async function stopServer(dataDirectory: string): Promise<void> {
  const pid = runningServer(dataDirectory)
  if (pid === undefined) return
  process.kill(pid, 'SIGQUIT')
  const deadlineMs = systemClock.nowMs() + STOP_MS_MAX
  while (isAlive(pid)) {
    if (systemClock.nowMs() > deadlineMs) throw new Error(`its server, process ${pid}, does not end`)
    await systemClock.sleep(POLL_MS)
  }
}
