import { collect, streamOf } from '../kit/bytes.ts'
import { hasCode, WalgError } from '../kit/errors.ts'
import { replaceJsonMember } from '../kit/json.ts'
import type { Logger } from '../kit/log.ts'
import type { Storage } from '../storage/storage.ts'
import type { BackupName } from './backup-name.ts'
import { readSentinel } from './catalog.ts'
import { metadataKey } from './layout.ts'
import { parseMetadata } from './metadata.ts'

export interface MarkPlace {
  readonly storage: Storage
  readonly log: Logger
  readonly signal: AbortSignal
  /** Where the repository lies, for messages. */
  readonly place: string
}

/** `metadata.json` as it is stored. */
export interface MetadataText {
  readonly name: BackupName
  readonly text: string
  readonly isPermanent: boolean
}

const METADATA_BYTES_MAX = 64 << 20

/** What is not permanent yet of the backup and everything that it hangs on; the full first. */
export async function chainToMark(place: MarkPlace, name: BackupName): Promise<MetadataText[]> {
  const chain: MetadataText[] = []
  const seen = new Set<string>()
  for (let at: BackupName | undefined = name; at !== undefined && !seen.has(at); ) {
    seen.add(at)
    const metadata = await readMetadataText(place, at)
    if (metadata.isPermanent) {
      place.log.warning(`Backup ${at} is already marked as permanent, ignoring...`)
    } else chain.unshift(metadata)
    at = (await readSentinel(place.storage, at, place)).sentinel.delta?.parent
  }
  return chain
}

/** Writes the mark into `metadata.json`, in which nothing else changes. */
export async function writePermanence(
  place: MarkPlace,
  { name, text }: MetadataText,
  isPermanent: boolean,
): Promise<void> {
  await writeMetadataText(place, name, replaceJsonMember(text, 'is_permanent', String(isPermanent)))
}

/** Throws OBJECT_NOT_FOUND, or BACKUP_BROKEN when it cannot be read. */
export async function readMetadataText(
  { storage, signal, place }: MarkPlace,
  name: BackupName,
): Promise<MetadataText> {
  const key = metadataKey(name)
  try {
    const bytes = await collect(await storage.get(key, { signal }), METADATA_BYTES_MAX)
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return { name, text, isPermanent: parseMetadata(key, text).isPermanent }
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    throw new WalgError('OBJECT_NOT_FOUND', `object '${place}/${key}' not found in storage`, {
      facts: { key, backup: name },
    })
  }
}

export async function writeMetadataText(
  { storage, signal }: MarkPlace,
  name: BackupName,
  text: string,
): Promise<void> {
  await storage.put(metadataKey(name), streamOf(new TextEncoder().encode(text)), { signal })
}
