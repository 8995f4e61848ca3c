import { BACKUPS_PREFIX, SENTINEL_SUFFIX } from '../../repository/layout.ts'
import type { MovedObject, TransferOptions } from './move-objects.ts'
import type { Listing } from './transfer-files.ts'

/** A backup of the source that can be moved: its sentinel and at least one object of data are there. */
export interface MovableBackup {
  readonly name: string
  readonly parent: string | null
  /** Of the sentinel in the source. */
  readonly modifiedNs: bigint
  readonly sentinel: MovedObject
  readonly data: readonly MovedObject[]
}

/** A chain, or a part of one, that moves as a whole; parents before children. */
export type MovedChain = readonly MovableBackup[]

export interface BackupsPlan {
  readonly missingCount: number
  readonly chains: readonly MovedChain[]
  /** Why a backup that is missing in the target stays. */
  readonly left: readonly { readonly backup: string; readonly why: string }[]
}

export interface BackupsWanted {
  /** One name, with what it is connected to; undefined: all. */
  readonly name: string | undefined
  readonly backupsMax: number
}

/**
 * Chooses what moves: whole chains, because a delta whose parent lies in another storage cannot be restored. A chain
 * that does not fit into the rest of `filesMax` or `backupsMax` stays as a whole, and ends the run.
 */
export function planBackups(
  backups: readonly MovableBackup[],
  source: Listing,
  target: Listing,
  wanted: BackupsWanted,
  options: Pick<TransferOptions, 'filesMax' | 'isOverwriting'>,
  isUnfinished: (backup: MovableBackup) => boolean,
): BackupsPlan {
  const isMissing = (backup: MovableBackup): boolean =>
    !target.has(backup.sentinel.key) || options.isOverwriting || isUnfinished(backup)
  const chains: MovedChain[] = []
  const left: { backup: string; why: string }[] = []
  let files = 0
  let count = 0
  let missingCount = 0
  let isFull = false
  for (const chain of connected(backups)) {
    const isAsked = wanted.name === undefined || chain.some(({ name }) => name === wanted.name)
    if (!isAsked) continue
    const moved = chain.filter(isMissing)
    missingCount += moved.length
    if (moved.length === 0 || isFull) continue
    const broken = moved.find(({ parent }) => parent !== null && !isAt(parent, chain, source, target))
    if (broken !== undefined) {
      left.push({ backup: broken.name, why: `its parent ${broken.parent} is in neither storage` })
      continue
    }
    const filesCount = moved.reduce((sum, { data }) => sum + data.length + 1, 0)
    const backupsMax = wanted.name === undefined ? wanted.backupsMax : Number.POSITIVE_INFINITY
    if (files + filesCount > options.filesMax || count + moved.length > backupsMax) {
      isFull = true
      left.push({
        backup: moved[0]!.name,
        why: `its chain has ${moved.length} backups with ${filesCount} files, more than this run may still move`,
      })
      continue
    }
    files += filesCount
    count += moved.length
    chains.push(moved)
  }
  return { missingCount, chains, left }
}

/** A parent is at hand when it moves along, or lies in the target already. */
function isAt(parent: string, chain: MovedChain, source: Listing, target: Listing): boolean {
  const key = `${BACKUPS_PREFIX}/${parent}${SENTINEL_SUFFIX}`
  return target.has(key) || (source.has(key) && chain.some(({ name }) => name === parent))
}

/** Backups that hang together by their parents, each group with parents first, the groups by their oldest. */
function connected(backups: readonly MovableBackup[]): MovedChain[] {
  const byName = new Map(backups.map(backup => [backup.name, backup]))
  const rootOf = (backup: MovableBackup): string => {
    const seen = new Set<string>()
    let at = backup
    while (at.parent !== null && !seen.has(at.name)) {
      seen.add(at.name)
      const parent = byName.get(at.parent)
      if (parent === undefined) return at.parent
      at = parent
    }
    return at.name
  }
  const groups = new Map<string, MovableBackup[]>()
  for (const backup of backups.toSorted(compareAge)) {
    const root = rootOf(backup)
    groups.set(root, [...(groups.get(root) ?? []), backup])
  }
  return [...groups.values()].map(group => parentsFirst(group))
}

function parentsFirst(group: readonly MovableBackup[]): MovableBackup[] {
  const sorted: MovableBackup[] = []
  const done = new Set<string>()
  const visit = (backup: MovableBackup): void => {
    if (done.has(backup.name)) return
    done.add(backup.name)
    const parent = group.find(({ name }) => name === backup.parent)
    if (parent !== undefined) visit(parent)
    sorted.push(backup)
  }
  for (const backup of group) visit(backup)
  return sorted
}

export function compareAge(
  left: { readonly modifiedNs: bigint; readonly name: string },
  right: { readonly modifiedNs: bigint; readonly name: string },
): number {
  if (left.modifiedNs !== right.modifiedNs) return left.modifiedNs < right.modifiedNs ? -1 : 1
  return left.name < right.name ? -1 : left.name > right.name ? 1 : 0
}
