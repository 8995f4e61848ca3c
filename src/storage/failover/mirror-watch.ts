import type { MirrorsDescription } from '../description.ts'
import type { MirrorWatch } from '../layers/copies.ts'
import { noteGap } from './mirror-gaps.ts'

/** This thread's view of mirrors that may fail: an outage that one thread met is known to all. */
export function openMirrorWatch({ outages, gapFiles }: MirrorsDescription): MirrorWatch {
  const words = new Int32Array(outages)
  const reasons = new Map<number, string>()
  return {
    isUp: mirror => Atomics.load(words, mirror) === 0,
    onOutage(mirror, error) {
      reasons.set(mirror, error instanceof Error ? error.message : String(error))
      Atomics.store(words, mirror, 1)
    },
    noteGap(mirror, key) {
      const file = gapFiles[mirror]
      if (file !== undefined) noteGap(file, { key, why: reasons.get(mirror) ?? '' })
    },
  }
}
