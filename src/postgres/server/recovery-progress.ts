import fs from 'node:fs'
import path from 'node:path'
import { systemClock } from '../../kit/clock.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import { type ControlFile, readControlFile } from '../control-file.ts'
import type { ServerProcess } from './server-process.ts'

/** What to wait for after a start with recovery.signal. */
export type RecoveryEnd = 'promoted' | 'paused' | 'shut down'

export interface WaitOptions {
  readonly until: RecoveryEnd
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Whether replay is paused, asked of the server; undefined when it cannot be asked. */
  readonly isPaused: () => Promise<boolean | undefined>
  /** Called when queries are taken for the first time. */
  readonly onConsistent?: () => void
}

const POLL_MS = 100
/** In the server's own log, in English. */
const PAUSED = /pausing at the end of recovery|recovery has paused/

/**
 * Waits until recovery has come to its end. Throws CLUSTER_STATE when the server ends before that, quoting its log;
 * TIMEOUT; CANCELLED. Returns the control file at that moment.
 */
export async function untilRecovered(server: ServerProcess, options: WaitOptions): Promise<ControlFile> {
  const deadline = systemClock.nowMs() + options.timeoutMs
  let isConsistent = false
  for (;;) {
    if (server.ending !== undefined) return ended(server, options)
    if (!isConsistent && server.postmaster()?.status === 'ready') {
      isConsistent = true
      options.onConsistent?.()
    }
    const control = await controlOf(server)
    if (control !== undefined && (await isReached(server, control, isConsistent, options))) return control
    if (systemClock.nowMs() > deadline) throw tooSlow(server, options)
    await systemClock.sleep(POLL_MS, options.signal)
  }
}

async function isReached(
  server: ServerProcess,
  control: ControlFile,
  isConsistent: boolean,
  options: WaitOptions,
): Promise<boolean> {
  if (control.state === 'in production' && !hasSignal(server.dataDirectory)) {
    return options.until === 'promoted' ? server.postmaster()?.status === 'ready' : true
  }
  if (options.until !== 'paused' || !isConsistent) return false
  return (await options.isPaused()) ?? PAUSED.test(server.logTail())
}

async function ended(server: ServerProcess, { until }: WaitOptions): Promise<ControlFile> {
  const control = await readControlFile(server.dataDirectory)
  const complaint = server.lastComplaint()
  if (until === 'shut down' && control.state === 'shut down in recovery') return control
  throw new WalgError(
    'CLUSTER_STATE',
    `the restored server did not come up, ${server.ending}${complaint === undefined ? '' : `: ${complaint}`}`,
    { facts: { directory: server.dataDirectory }, hint: `its log is "${server.logFile}"` },
  )
}

/** Undefined while it is just being written. */
async function controlOf(server: ServerProcess): Promise<ControlFile | undefined> {
  try {
    return await readControlFile(server.dataDirectory)
  } catch (error) {
    if (!hasCode(error, 'CHECKSUM_MISMATCH')) throw error
    return undefined
  }
}

function hasSignal(dataDirectory: string): boolean {
  return fs.existsSync(path.join(dataDirectory, 'recovery.signal'))
}

function tooSlow(server: ServerProcess, { timeoutMs }: WaitOptions): WalgError {
  return new WalgError('TIMEOUT', `recovery is not at its end after ${Math.round(timeoutMs / 1000)} s`, {
    facts: { directory: server.dataDirectory },
    hint: `the server goes on; its log is "${server.logFile}"`,
  })
}
