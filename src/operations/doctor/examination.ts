import { throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'

/** `ok` and `note` need nothing; a `warning` is worth a look; a `failure` must be fixed. */
export type Verdict = 'ok' | 'note' | 'warning' | 'failure'

export interface Finding {
  readonly area: 'settings' | 'storage' | 'keys' | 'server' | 'archiving' | 'backups' | 'disk'
  readonly verdict: Verdict
  readonly message: string
  /** What to do about it. */
  readonly fix?: string
}

/** Collects findings; a check that fails is a finding, and the others go on. */
export class Examination {
  readonly findings: Finding[] = []
  readonly #signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  note(area: Finding['area'], verdict: Verdict, message: string, fix?: string): void {
    this.findings.push({ area, verdict, message, ...(fix === undefined ? {} : { fix }) })
  }

  /** Runs one check; undefined when it failed, which has been noted. */
  async check<T>(area: Finding['area'], what: string, run: () => Promise<T>): Promise<T | undefined> {
    throwIfCancelled(this.#signal)
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof WalgError) || error.code === 'CANCELLED') throw error
      this.note(area, 'failure', `${what}: ${error.message}`, error.hint)
      return undefined
    }
  }
}
