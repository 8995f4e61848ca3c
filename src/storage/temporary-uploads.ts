import { temporaryTimeMs } from './keys.ts'
import type { ObjectInfo, StorageEntry, UnfinishedUpload } from './storage.ts'

/** Which names a listing gives: those of objects, or those of the temporaries that objects are written to. */
export type ListedNames = 'objects' | 'temporaries'

/** The uploads that listed temporaries stand for. */
export async function* uploadsOf(temporaries: AsyncIterable<StorageEntry>): AsyncGenerator<UnfinishedUpload> {
  for await (const entry of temporaries) if (entry.kind === 'object') yield uploadOf(entry)
}

/** It counts from its last sign of life, by its name or by its last change: a writer touches its temporary all the time. */
function uploadOf({ key, modifiedNs }: ObjectInfo): UnfinishedUpload {
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
