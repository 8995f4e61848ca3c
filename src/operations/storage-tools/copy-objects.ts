import type { CodecDescription } from '../../codec/codec.ts'
import { openCodec } from '../../codec/open-codec.ts'
import type { ByteStream } from '../../kit/bytes.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import { CONTENT_MANIFEST_NAME, METADATA_NAME, SENTINEL_SUFFIX } from '../../repository/layout.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'

export interface CopyObjectsContext extends Pick<OperationContext, 'log' | 'progress' | 'signal'> {
  readonly source: Storage
  readonly target: Storage
}

export interface CopyObjectsOptions {
  /** Objects whose key begins with it; `''` for all. */
  readonly prefix: string
  /** What the objects are opened with; undefined: they go as they are. */
  readonly decryptedBy: CodecDescription | undefined
  /** What they are sealed with; undefined: they stay as they were opened. */
  readonly encryptedBy: CodecDescription | undefined
}

interface Found {
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
}

/** Objects under way at a time. */
const COPIES_AT_ONCE = 8

/**
 * Copies every object below a prefix, over what is there. What makes a backup visible goes last and in its order in
 * time, so that an interrupted copy shows no half backup and LATEST stays what it was. Returns how many went.
 */
export async function copyObjectsByPrefix(
  context: CopyObjectsContext,
  options: CopyObjectsOptions,
): Promise<number> {
  const { source, log, progress, signal } = context
  log.info(`Collecting files with prefix ${options.prefix}.`)
  const found: Found[] = []
  // A folder is listed where the prefix names one, the whole storage only where it does not.
  const folder = options.prefix.slice(0, Math.max(0, options.prefix.lastIndexOf('/')))
  for await (const entry of source.list(folder, { recursive: true, signal })) {
    if (entry.kind === 'object' && entry.key.startsWith(options.prefix)) found.push(entry)
  }
  if (options.decryptedBy !== undefined || options.encryptedBy !== undefined) refuseManifests(found)
  progress.begin(
    'st copy',
    found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  )
  try {
    for (const stage of stagesOf(found)) await copyStage(context, stage, options)
  } finally {
    progress.end()
  }
  log.info(`Successfully copied ${found.length} objects`)
  return found.length
}

/** A manifest holds hashes of stored bytes: other bytes would make every restore of its backup fail. */
function refuseManifests(found: readonly Found[]): void {
  const manifest = found.find(({ key }) => key.includes(`/${CONTENT_MANIFEST_NAME}`))
  if (manifest === undefined) return
  throw new WalgError('WRITE_REFUSED', `"${manifest.key}" would not be true of objects under another key`, {
    facts: { key: manifest.key },
    hint: 'nothing was written; use `wal-g copy --re-encrypt`, which makes it again',
  })
}

/** Payload, then metadata, then each sentinel by itself. */
function stagesOf(found: readonly Found[]): Found[][] {
  const isSentinel = ({ key }: Found): boolean => key.endsWith(SENTINEL_SUFFIX)
  const isMetadata = ({ key }: Found): boolean => key.endsWith(`/${METADATA_NAME}`)
  const sentinels = found.filter(isSentinel).sort((left, right) => {
    if (left.modifiedNs !== right.modifiedNs) return left.modifiedNs < right.modifiedNs ? -1 : 1
    return left.key < right.key ? -1 : 1
  })
  const payload = found.filter(object => !isSentinel(object) && !isMetadata(object))
  return [payload, found.filter(isMetadata), ...sentinels.map(sentinel => [sentinel])]
}

async function copyStage(
  context: CopyObjectsContext,
  objects: readonly Found[],
  options: CopyObjectsOptions,
): Promise<void> {
  const { log, progress, signal } = context
  let next = 0
  let hasFailed = false
  const workers = Array.from({ length: Math.min(COPIES_AT_ONCE, objects.length) }, async () => {
    while (next < objects.length && !hasFailed) {
      throwIfCancelled(signal)
      const { key, sizeBytes } = objects[next]!
      next += 1
      try {
        await copyOne(context, key, sizeBytes, options)
      } catch (error) {
        hasFailed = true
        throw error
      }
      progress.advance(sizeBytes)
      log.info(`Copied '${key}' from folder '' to '${key}' in folder ''.`)
    }
  })
  const results = await Promise.allSettled(workers)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

async function copyOne(
  { source, target, signal }: CopyObjectsContext,
  key: string,
  sizeBytes: number,
  { decryptedBy, encryptedBy }: CopyObjectsOptions,
): Promise<void> {
  let body: ByteStream = await source.get(key, { signal })
  // Documents in JSON are never sealed.
  const isSealed = !key.endsWith('.json')
  if (isSealed && decryptedBy !== undefined) body = cryptOnly(decryptedBy).openStream('')(body)
  if (isSealed && encryptedBy !== undefined) body = cryptOnly(encryptedBy).sealStream('part')(body)
  await target.put(key, body, { signal, expectedSizeBytes: sizeBytes })
}

/** Only the encryption of a codec: compressed bytes stay as they are. */
function cryptOnly({ encryption }: CodecDescription): ReturnType<typeof openCodec> {
  return openCodec({ compression: 'none', ...(encryption === undefined ? {} : { encryption }) })
}
