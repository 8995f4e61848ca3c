import { readFileSync } from 'node:fs'
import { WalgError } from '../kit/errors.ts'

/** The same number on every system there is. */
const SIGHUP = 1

/**
 * What every command is stopped by. SIGQUIT is one of them: an immediate shutdown sends it to archive_command too, whose
 * death by a signal would end the archiver, and a temporary object would stay behind.
 */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

export type StopSignal = (typeof STOP_SIGNALS)[number]

/**
 * The first of `signals` aborts the returned AbortSignal with CANCELLED; the second one calls `leave` at
 * once. A signal that was ignored when the program started (nohup) stays ignored.
 */
export function abortOnSignals(
  signals: readonly StopSignal[],
  onFirst: (name: StopSignal) => void,
  leave: () => void,
): AbortSignal {
  const controller = new AbortController()
  const ignored = signals.includes('SIGHUP') ? ignoredSignals() : 0n
  for (const name of signals) {
    if (name === 'SIGHUP' && ((ignored >> BigInt(SIGHUP - 1)) & 1n) === 1n) continue
    process.on(name, () => {
      if (controller.signal.aborted) {
        leave()
        return
      }
      onFirst(name)
      controller.abort(new WalgError('CANCELLED', `interrupted by ${name}`))
    })
  }
  return controller.signal
}

/** Bit n-1 = signal n is ignored, where the system tells. */
function ignoredSignals(): bigint {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    return mask === undefined ? 0n : BigInt(`0x${mask}`)
  } catch {
    return 0n
  }
}
