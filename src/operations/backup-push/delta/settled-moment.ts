import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { fromSystemError } from '../../../kit/errors.ts'
import { nowNs } from '../../../kit/timestamp.ts'
import type { BackupSource } from '../source/backup-source.ts'
import type { DeltaBase } from './plan-delta.ts'

/** Moments by the clock of the file system, in nanoseconds since 1970. */
export interface BackupMoments {
  /** Before the backup began. */
  readonly begunNs: bigint
  /** Before the walk. */
  readonly walkedNs: bigint
}

/**
 * Before which moment a file must have been written last to lie in the backup as it stayed. A block map tells of changes before the
 * start LSN alone: what reached the disk between that and the walk is for the next delta. A standby starts where its last restartpoint
 * did, which may be long before the backup began: there only what was so in the parent is so here.
 */
export function settledMoment(
  { startsNow }: Pick<BackupSource, 'startsNow'>,
  base:
    | { readonly changed: DeltaBase['changed']; readonly files: { readonly settledNs: bigint | undefined } }
    | undefined,
  { begunNs, walkedNs }: BackupMoments,
): bigint {
  if (base?.changed === undefined) return walkedNs
  if (startsNow) return begunNs
  const { settledNs: parentNs = 0n } = base.files
  return parentNs < begunNs ? parentNs : begunNs
}

/**
 * A moment that is past, by the clock of the file system: the server has just written pg_control there. The clock of this host
 * may be ahead of it.
 */
export function pastMoment(root: string): bigint {
  const path = join(root, 'global', 'pg_control')
  try {
    const { mtimeNs } = lstatSync(path, { bigint: true })
    const now = nowNs()
    return mtimeNs < now ? mtimeNs : now
  } catch (error) {
    throw fromSystemError(error, 'stat', path)
  }
}
