import { WalgError } from '../../kit/errors.ts'
import { METADATA_NAME, SENTINEL_SUFFIX } from '../../repository/layout.ts'
import { type MirrorGap, takeGaps } from '../../storage/failover/mirror-gaps.ts'
import { statIfThere } from '../../storage/requests/stat-if-there.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'

export interface FillContext extends Pick<OperationContext, 'log' | 'signal'> {
  /** Where the objects are read: the storage that is written to first. */
  readonly source: Storage
  readonly mirror: Storage
}

export interface FillOptions {
  /** Objects to bring at most; default: all. */
  readonly objectsMax?: number
  /** No object is begun after so long. */
  readonly budgetMs?: number
}

export interface FillResult {
  readonly filled: number
  /** What the mirror still lacks. */
  readonly left: number
}

/**
 * Brings a mirror what it missed while it was down. What makes a backup visible goes behind everything else of it, and
 * stays away while something else of that backup is missing. Throws the failure that ended it; what was brought until
 * then is forgotten, the rest stays noted.
 */
export async function fillGaps(
  context: FillContext,
  file: string,
  options: FillOptions = {},
): Promise<FillResult> {
  const { log, signal, mirror } = context
  const taken = takeGaps(file)
  const ordered = inOrder(taken.gaps)
  const deadlineMs = performance.now() + (options.budgetMs ?? Number.POSITIVE_INFINITY)
  const objectsMax = options.objectsMax ?? Number.POSITIVE_INFINITY
  let filled = 0
  let at = 0
  try {
    for (; at < ordered.length; at++) {
      if (filled >= objectsMax || performance.now() > deadlineMs || signal.aborted) break
      if (await bring(context, ordered[at]!.key)) filled += 1
    }
  } finally {
    taken.settle(ordered.slice(at))
  }
  const left = ordered.length - at
  if (filled > 0)
    log.info(`${filled} objects that mirror "${mirror.name}" had missed were brought there, ${left} are left`)
  return { filled, left }
}

/** Parts and WAL, then metadata, then sentinels; within each the order in which they arose: parents before children. */
function inOrder(gaps: readonly MirrorGap[]): readonly MirrorGap[] {
  const rank = ({ key }: MirrorGap): number => {
    if (key.endsWith(SENTINEL_SUFFIX)) return 2
    return key.endsWith(`/${METADATA_NAME}`) ? 1 : 0
  }
  return gaps.toSorted((left, right) => rank(left) - rank(right))
}

/** False when the object has gone from the repository meanwhile: then the mirror does not lack it either. */
async function bring({ source, mirror, signal }: FillContext, key: string): Promise<boolean> {
  const info = await statIfThere(source, key, { signal })
  if (info === undefined) return false
  const body = await source.get(key, { signal })
  await mirror.put(key, body, { signal, expectedSizeBytes: info.sizeBytes })
  return true
}

/** What a push says about a mirror that could not be written to. */
export function mirrorMissing(name: string, count: number): string {
  return `Mirror "${name}" is down and lacks ${count} objects of this repository; the next push after it is back brings them`
}

/** The failure of a command whose mirror must take part and cannot. */
export function mirrorDown(name: string, cause: WalgError): WalgError {
  return new WalgError('STORAGE_UNAVAILABLE', `mirror "${name}" is down: ${cause.message}`, {
    facts: { storage: name },
    cause,
    hint: 'nothing was acknowledged; mend the mirror, or set WALG_MIRROR_REQUIRED=false to go on without it for now',
  })
}
