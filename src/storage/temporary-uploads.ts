import { temporaryTimeMs } from './keys.ts'
import type { UnfinishedUpload } from './storage.ts'

/** Which names a listing gives: those of objects, or those of the temporaries that objects are written to. */
export type ListedNames = 'objects' | 'temporaries'

/**
 * The upload that a temporary stands for. It counts from its last sign of life, by its name or by its last change: a writer
 * touches its temporary all the time.
 */
export function uploadOfTemporary(temporary: {
  readonly key: string
  readonly modifiedNs: bigint
}): UnfinishedUpload {
  const { key, modifiedNs } = temporary
  const namedNs = BigInt(temporaryTimeMs(key) ?? 0) * 1_000_000n
  const end = key.lastIndexOf('.tmp.')
  return {
    key: key.slice(0, end),
    id: key.slice(end + 1),
    beganNs: modifiedNs > namedNs ? modifiedNs : namedNs,
  }
}

/** The key under which the temporary of an upload lies. */
export function temporaryOfUpload({ key, id }: Pick<UnfinishedUpload, 'key' | 'id'>): string {
  return `${key}.${id}`
}
