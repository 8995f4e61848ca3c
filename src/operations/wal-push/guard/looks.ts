import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { Logger } from '../../../kit/log.ts'

/** What a push looks for in the archive, in words that follow "not checked:". */
export type LookedFor =
  | 'whose archive this is'
  | 'whether older forms of a file are there, which a fetch may deliver'
  | 'what is archived under the name of a history'
  | 'whether files pushed in the background are still there'

/** A look that was denied. Plain, so that threads can tell of it. */
export interface Unseen {
  readonly subject: LookedFor
  /** What the storage said. */
  readonly reason: string
}

/** The looks of a push at the archive, before it puts and before it acknowledges. */
export interface Looks {
  /**
   * The answer of one look. undefined where the storage denies it (ACCESS_DENIED) and the push goes on without; any other
   * failure is thrown, and so is this one where every look must be had.
   */
  tryTo<T>(see: LookedFor, look: () => Promise<T>): Promise<{ readonly seen: T } | undefined>
  /** Those that were denied, once per subject. */
  unseen(): readonly Unseen[]
}

/**
 * `areNeeded`: the overwrite guard is on, and a guard that is not let look is none. Only who has switched it off may archive
 * into a storage that shows nothing, as credentials that can only write do.
 */
export function openLooks({ areNeeded }: { readonly areNeeded: boolean }): Looks {
  const denied = new Map<LookedFor, string>()
  return {
    async tryTo(see, look) {
      try {
        return { seen: await look() }
      } catch (error) {
        if (!hasCode(error, 'ACCESS_DENIED')) throw error
        if (areNeeded) throw lookDenied(error)
        if (!denied.has(see)) denied.set(see, error.message)
        return undefined
      }
    },
    unseen: () => [...denied].map(([subject, reason]) => ({ subject, reason })),
  }
}

/** The same failure, with what a person can do about a look that is not permitted. */
export function lookDenied(error: WalgError): WalgError {
  const cause = error.hint === undefined ? '' : `${error.hint}; `
  return new WalgError(error.code, error.message, {
    facts: error.facts,
    cause: error.cause,
    hint: `${cause}the overwrite guard must list and read what is archived. Where this user is meant to write only, WALG_PREVENT_WAL_OVERWRITE=false archives without looking: then a second cluster that archives to the same place replaces this one's WAL, and nobody is told`,
  })
}

/** One WARNING for all that could not be looked at. */
export function warnOfUnseen(log: Logger, storage: string, unseen: readonly Unseen[]): void {
  const [first] = unseen
  if (first === undefined) return
  const subjects = [...new Set(unseen.map(({ subject }) => subject))].join('; ')
  log.warning(
    `storage "${storage}" denies looking into the archive (${first.reason}); WALG_PREVENT_WAL_OVERWRITE=false lets the push go on. Not checked: ${subjects}`,
  )
}
