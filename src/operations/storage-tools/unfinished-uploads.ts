import { WalgError } from '../../kit/errors.ts'
import type { Abortable, Storage, UnfinishedUpload } from '../../storage/storage.ts'

export interface CollectUploadsOptions extends Abortable {
  /** Younger ones may be on their way right now. */
  readonly olderThanMs: number
  /** false: only named. */
  readonly isRemoving: boolean
  readonly nowMs?: number
  /** Called for each one that is, or would be, removed. */
  readonly onUpload: (upload: UnfinishedUpload) => void
}

/**
 * Removes uploads that a crash left at the store: nothing shows them, and they take room. Returns how many.
 * Throws NOT_AVAILABLE for a storage that keeps no such.
 */
export async function collectUploads(storage: Storage, options: CollectUploadsOptions): Promise<number> {
  const { unfinishedUploads } = storage
  if (unfinishedUploads === undefined) {
    throw new WalgError('NOT_AVAILABLE', `storage "${storage.name}" keeps no unfinished uploads`, {
      facts: { storage: storage.name },
    })
  }
  const { olderThanMs, isRemoving, nowMs = Date.now(), onUpload, ...abortable } = options
  const latestNs = BigInt(Math.floor(nowMs - olderThanMs)) * 1_000_000n
  let count = 0
  for await (const upload of unfinishedUploads.list('', abortable)) {
    if (upload.beganNs > latestNs) continue
    if (isRemoving) await unfinishedUploads.abort(upload, abortable)
    onUpload(upload)
    count += 1
  }
  return count
}
