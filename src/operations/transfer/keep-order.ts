import { collect, streamOf } from '../../kit/bytes.ts'
import { type Clock, systemClock } from '../../kit/clock.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'

const SENTINEL_BYTES_MAX = 64 << 20
/** Storages that know whole seconds only show a later time after the next one has begun. */
const TICK_MS = 1000
const TICKS_MAX = 5

/** A sentinel as it stands in the order of all backups of both storages, oldest first. */
export interface OrderedSentinel {
  readonly key: string
  /** Where it lies when the order has been restored. */
  readonly storage: Storage
  /** Its time now; undefined: it has to be put there first. */
  readonly modifiedNs: bigint | undefined
  /** Puts it; for one that lies there already it is put again as it is. */
  readonly put: () => Promise<void>
}

/**
 * Makes sentinels visible one after the other such that their times rise in the given order: LATEST then means what it
 * meant before. From the first that has to be put, those behind it whose times are not later any more are put again.
 */
export async function commitInOrder(
  sentinels: readonly OrderedSentinel[],
  options: Abortable & { readonly clock?: Clock },
): Promise<void> {
  const clock = options.clock ?? systemClock
  const first = sentinels.findIndex(({ modifiedNs }) => modifiedNs === undefined)
  if (first < 0) return
  let lastNs = first === 0 ? 0n : (sentinels[first - 1]?.modifiedNs ?? 0n)
  for (const { key, storage, modifiedNs, put } of sentinels.slice(first)) {
    if (modifiedNs !== undefined && modifiedNs > lastNs) {
      lastNs = modifiedNs
      continue
    }
    for (let tick = 0; ; tick++) {
      await put()
      const info = await storage.stat(key, options)
      if (info.modifiedNs > lastNs || tick === TICKS_MAX) {
        lastNs = info.modifiedNs > lastNs ? info.modifiedNs : lastNs
        break
      }
      await clock.sleep(TICK_MS, options.signal)
    }
  }
}

/** Puts an object again as it is: only its time changes. */
export async function putAgain(storage: Storage, key: string, options: Abortable): Promise<void> {
  const content = await collect(await storage.get(key, options), SENTINEL_BYTES_MAX)
  await storage.put(key, streamOf(content), { ...options, expectedSizeBytes: content.length })
}
