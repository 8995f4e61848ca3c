import type { BackupName } from '../../repository/backup-name.ts'

/** One stored object that is worth reading. */
export interface WorkItem {
  readonly kind: 'part' | 'wal'
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
  /** The backups that cannot do without it. */
  readonly backups: readonly BackupName[]
}

/** What an earlier run found good. */
export interface VerifiedObject {
  readonly sizeBytes: number
  readonly modifiedNs: bigint
  readonly verifiedNs: bigint
}

export type VerifiedObjects = ReadonlyMap<string, VerifiedObject>

export interface WorkPlan {
  /** To be read now, in the order given. */
  readonly read: readonly WorkItem[]
  /** Not read now, but found good before and not changed since. */
  readonly trusted: readonly WorkItem[]
  /** Not read now and never found good as they are now. */
  readonly left: readonly WorkItem[]
}

export interface WorkLimits {
  readonly isIncremental: boolean
  readonly maxAgeMs: number | null
  /** 1 to 100, of the bytes of all items. */
  readonly percent: number
  readonly nowNs: bigint
}

/** Decides what to read: all of it, or what is not known to be good, or a share of it, longest unread first. */
export function planWork(
  items: readonly WorkItem[],
  verified: VerifiedObjects,
  { isIncremental, maxAgeMs, percent, nowNs }: WorkLimits,
): WorkPlan {
  const knownSince = (item: WorkItem): bigint | undefined => {
    const known = verified.get(item.key)
    const isSame = known?.sizeBytes === item.sizeBytes && known.modifiedNs === item.modifiedNs
    return isSame ? known.verifiedNs : undefined
  }
  const oldestNs = maxAgeMs === null ? undefined : nowNs - BigInt(Math.round(maxAgeMs)) * 1_000_000n
  const isFresh = (item: WorkItem): boolean => {
    const since = knownSince(item)
    return isIncremental && since !== undefined && (oldestNs === undefined || since >= oldestNs)
  }
  const wanted = items.filter(item => !isFresh(item))
  const chosen = percent >= 100 ? new Set(wanted) : shareOf(items, wanted, knownSince, percent)
  const others = items.filter(item => !chosen.has(item))
  return {
    read: items.filter(item => chosen.has(item)),
    trusted: others.filter(item => knownSince(item) !== undefined),
    left: others.filter(item => knownSince(item) === undefined),
  }
}

/** Never verified first, then those longest ago; at least one, so that every run comes further. */
function shareOf(
  items: readonly WorkItem[],
  wanted: readonly WorkItem[],
  knownSince: (item: WorkItem) => bigint | undefined,
  percent: number,
): Set<WorkItem> {
  const totalBytes = items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const byAge = wanted.toSorted((left, right) => {
    const [since, other] = [knownSince(left) ?? -1n, knownSince(right) ?? -1n]
    return since < other ? -1 : since > other ? 1 : 0
  })
  const chosen = new Set<WorkItem>()
  let bytes = 0
  for (const item of byAge) {
    if (chosen.size > 0 && bytes >= (totalBytes * percent) / 100) break
    chosen.add(item)
    bytes += item.sizeBytes
  }
  return chosen
}
