import type { Codec } from '../codec/codec.ts'
import { splitExtension } from '../codec/extensions.ts'
import type { ByteStream } from '../kit/bytes.ts'
import { hasCode, WalgError } from '../kit/errors.ts'
import { HASH_ALGORITHM, openHasher } from '../kit/hash.ts'
import type { Abortable, Storage } from '../storage/storage.ts'
import type { BackupName } from './backup-name.ts'
import { backupPrefix } from './layout.ts'
import type { ManifestHeader, ManifestSink } from './manifest.ts'
import { readManifest } from './manifest-document.ts'
import type { ContentManifestLink, SealedWith } from './sentinel.ts'

export interface LinkedManifest extends Abortable {
  readonly storage: Storage
  readonly codec: Codec
  readonly backup: BackupName
  /** What the sentinel says of it. */
  readonly link: ContentManifestLink
}

/**
 * Reads the content manifest that a sentinel promises into a sink of the caller's. Throws BACKUP_BROKEN when it is
 * missing, damaged or another one, DECRYPT_FAILED when its key is not configured.
 */
export async function readLinkedManifest(
  { storage, codec, backup, link, signal }: LinkedManifest,
  open: (header: ManifestHeader) => ManifestSink,
): Promise<void> {
  const key = `${backupPrefix(backup)}/${link.object}`
  const openChecked = (header: ManifestHeader): ManifestSink => {
    if (header.hashAlgorithm === HASH_ALGORITHM && header.backup === backup) return open(header)
    throw brokenManifest(key, `it is of backup "${header.backup}" (${header.hashAlgorithm})`)
  }
  try {
    const stored = await storage.get(key, signal === undefined ? {} : { signal })
    const { extension = '' } = splitExtension(key)
    await readManifest(key, codec.openStream(extension)(checked(key, link, stored)), openChecked)
  } catch (error) {
    const { encryption } = link
    if (encryption !== undefined && (!codec.hasKeys || hasCode(error, 'DECRYPT_FAILED'))) {
      throw missingKey(backup, encryption, error)
    }
    const isDamage =
      error instanceof WalgError && /^(FORMAT_|CHECKSUM_|DECRYPT_|OBJECT_NOT_FOUND)/.test(error.code)
    const isBroken = hasCode(error, 'BACKUP_BROKEN') && error.hint !== IGNORE_HINT
    throw isDamage || isBroken ? brokenManifest(key, error.message, error) : error
  }
}

function missingKey(backup: string, { method, key }: SealedWith, cause: unknown): WalgError {
  return new WalgError(
    'DECRYPT_FAILED',
    `backup "${backup}" is encrypted with the ${method} key ${key}, which does not open it here`,
    {
      facts: { backup, method, key },
      hint: 'configure that key; backup-list --detail --json shows which backup needs which',
      cause,
    },
  )
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
    throw brokenManifest(key, 'it is not the one that belongs to the backup')
  }
}

const IGNORE_HINT =
  'restore another backup, or add --ignore-content-manifest to restore this one without comparing hashes'

function brokenManifest(key: string, why: string, cause?: unknown): WalgError {
  return new WalgError('BACKUP_BROKEN', `the content manifest "${key}" cannot be used: ${why}`, {
    facts: { key },
    hint: IGNORE_HINT,
    cause,
  })
}
