import { hasCode } from '../../kit/errors.ts'
import type { Abortable, Storage } from '../storage.ts'

/** The name of the original; every reader ignores it. */
export const PROBE_KEY = 'wal-g_storage_check'
const CHUNK_BYTES = 1 << 18
/** The clean-up of a probe must not outlast it by much. */
const CLEAN_UP_TIMEOUT_MS = 30_000

export interface ProbeOptions extends Abortable {
  /** The object may stay where this user may not delete it; the next probe replaces it. */
  readonly mayStay?: boolean
}

/** Puts an object of random bytes and removes it again, also when that fails half-way. Throws what the storage throws. */
export async function probeWriting(
  storage: Storage,
  sizeBytes: number,
  options: ProbeOptions,
): Promise<void> {
  const failures: unknown[] = []
  try {
    await storage.put(PROBE_KEY, randomBytes(sizeBytes), { ...options, expectedSizeBytes: sizeBytes })
  } catch (error) {
    failures.push(error)
  }
  try {
    await storage.delete([PROBE_KEY], { signal: AbortSignal.timeout(CLEAN_UP_TIMEOUT_MS) })
  } catch (error) {
    if (options.mayStay !== true || !hasCode(error, 'ACCESS_DENIED')) failures.push(error)
  }
  if (failures.length > 0) throw failures[0]
}

async function* randomBytes(sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let left = sizeBytes; left > 0; ) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, left))
    for (let at = 0; at < chunk.length; at += 65_536) crypto.getRandomValues(chunk.subarray(at, at + 65_536))
    left -= chunk.length
    yield chunk
  }
}
