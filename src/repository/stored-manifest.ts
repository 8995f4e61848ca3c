import type { Codec } from '../codec/codec.ts'
import { splitExtension } from '../codec/extensions.ts'
import type { ByteStream } from '../kit/bytes.ts'
import { WalgError } from '../kit/errors.ts'
import { HASH_ALGORITHM, openHasher } from '../kit/hash.ts'
import type { Abortable, Storage } from '../storage/storage.ts'
import type { ManifestHeader, ManifestSink } from './manifest.ts'
import { readManifest } from './manifest-document.ts'
import type { ContentManifestLink } from './sentinel.ts'

/** Where a content manifest lies, and what the sentinel says of it. */
export interface StoredManifest {
  readonly key: string
  readonly link: ContentManifestLink
}

/**
 * Reads the content manifest that a sentinel promises into the sink that `open` makes. Throws OBJECT_NOT_FOUND, what opening
 * a sealed object does, or BACKUP_BROKEN for one that is damaged or not the one that the sentinel means.
 */
export async function readStoredManifest(
  storage: Storage,
  codec: Codec,
  { key, link }: StoredManifest,
  open: (header: ManifestHeader) => ManifestSink,
  { signal }: Abortable,
): Promise<void> {
  const stored = await storage.get(key, signal === undefined ? {} : { signal })
  const { extension = '' } = splitExtension(key)
  await readManifest(key, codec.openStream(extension)(checked(key, link, stored)), open)
}

/** Passes the stored bytes on and compares them with what the sentinel says. */
async function* checked(key: string, link: ContentManifestLink, stored: ByteStream): ByteStream {
  const hasher = openHasher()
  let sizeBytes = 0
  for await (const chunk of stored) {
    sizeBytes += chunk.length
    hasher.update(chunk)
    yield chunk
  }
  const hash = `${HASH_ALGORITHM}:${hasher.digest()}`
  if (sizeBytes !== link.sizeBytes || hash !== link.hash) {
    throw new WalgError('BACKUP_BROKEN', 'it is not the one that belongs to the backup', { facts: { key } })
  }
}
