import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openCodec } from '../../../codec/open-codec.ts'
import { writeFileDurably } from '../../../kit/atomic-file.ts'
import { errnoOf, hasCode, WalgError } from '../../../kit/errors.ts'
import { judgeSegmentHead } from '../../../postgres/wal/segment-head.ts'
import { LONG_HEADER_BYTES } from '../../../postgres/wal/wal-page.ts'
import { isSegmentName } from '../../../postgres/wal-segment.ts'
import { listBackups, readSentinel } from '../../../repository/catalog.ts'
import { listWal, type WalObject } from '../../../repository/wal-catalog.ts'
import { storageIdentity } from '../../../storage/storage-identity.ts'
import type { OperationContext } from '../../context.ts'
import type { WalSource } from '../wal-source.ts'
import type { Looks } from './looks.ts'

export interface IdentityOptions {
  /** Where the archive's identity is remembered between pushes; undefined: looked up every time. */
  readonly walDirectory: string | undefined
  /** true: a segment of another cluster is refused instead of warned about. */
  readonly isRequired: boolean
  readonly looks: Looks
}

const PARTIAL = /\.partial$/
/** What this process found out already. */
const knownHere = new Map<string, bigint>()
/** Objects looked at to learn whose archive it is, so that a huge archive costs no more than a small one. */
const WAL_OBJECTS_MAX = 64

/**
 * Notices a segment of another cluster: two clusters that archive to one place ruin each other's history.
 * WARNING, or WAL_INVALID when required. An empty archive takes anybody. A file with the name of a segment that is none is a WARNING:
 * what the server asks for is archived, but no wal-fetch will give it out.
 */
export async function checkArchiveIdentity(
  context: OperationContext,
  source: WalSource,
  options: IdentityOptions,
): Promise<void> {
  if (!isSegmentName(source.name.replace(PARTIAL, ''))) return
  const { systemIdentifier: own, fault } = judgeSegmentHead(source.name, headOf(source), source.sizeBytes)
  if (fault !== undefined) {
    context.log.warning(`"${source.path}" ${fault}: it is archived as it is, and wal-fetch will refuse it`)
  }
  if (own === undefined) return
  const place = storageIdentity(context.storageDescription)
  if (knownHere.get(place) === own) return
  const remembered = readRemembered(options.walDirectory)
  if (remembered?.storage === place && remembered.systemIdentifier === String(own)) return
  // What is required must be looked at, whatever else a push may do without.
  const look = (): Promise<bigint | undefined> => lookUpArchive(context)
  const found = options.isRequired
    ? { seen: await look() }
    : await options.looks.tryTo('whose archive this is', look)
  if (found === undefined) {
    // Not noted beyond this process: nothing was found out.
    knownHere.set(place, own)
    return
  }
  const archive = found.seen
  if (archive === undefined || archive === own) {
    knownHere.set(place, own)
    await remember(context, options.walDirectory, { storage: place, systemIdentifier: String(own) })
    return
  }
  const message = `segment "${source.name}" comes from a cluster with system identifier ${own}, the archive belongs to ${archive}`
  const hint = 'give every cluster a prefix of its own (WALG_FILE_PREFIX, WALG_STORAGE_PREFIX)'
  if (options.isRequired) {
    throw new WalgError('WAL_INVALID', message, { facts: { file: source.path, own, archive }, hint })
  }
  context.log.warning(`${message}; ${hint}`)
}

function headOf(source: WalSource): Uint8Array {
  const head = new Uint8Array(LONG_HEADER_BYTES)
  return head.subarray(0, source.readAt(head, 0))
}

/** Of the newest backup that says it, else of the oldest segment in the archive; undefined when neither exists. */
async function lookUpArchive(context: OperationContext): Promise<bigint | undefined> {
  const backups = await listBackups(context.storage, { signal: context.signal })
  for (const backup of backups.toReversed()) {
    try {
      const { sentinel } = await readSentinel(context.storage, backup.name, { signal: context.signal })
      if (sentinel.systemIdentifier !== null) return sentinel.systemIdentifier
    } catch (error) {
      if (!hasCode(error, 'BACKUP_BROKEN', 'OBJECT_NOT_FOUND')) throw error
      context.log.warning(
        `unable to read the sentinel of backup "${backup.name}" while checking whose archive this is`,
      )
    }
  }
  for (const segment of await oldestSegments(context)) {
    const identifier = await identifierOfObject(context, segment)
    if (identifier !== undefined) return identifier
  }
  return undefined
}

/** Oldest first: who came first has founded the archive, whatever was let in with a WARNING since. */
async function oldestSegments(context: OperationContext): Promise<WalObject[]> {
  const segments: WalObject[] = []
  let seen = 0
  for await (const object of listWal(context.storage, { signal: context.signal })) {
    if (++seen > WAL_OBJECTS_MAX) break
    if (object.kind === 'segment') segments.push(object)
  }
  return segments.sort((a, b) => Number(a.modifiedNs - b.modifiedNs))
}

async function identifierOfObject(
  context: OperationContext,
  { file, key, extension }: WalObject,
): Promise<bigint | undefined> {
  try {
    const codec = openCodec(context.codecDescription)
    const reader = await codec.open(await context.storage.openSource(key), extension)
    try {
      const first = await reader.next()
      return first === null ? undefined : judgeSegmentHead(file, first, first.length).systemIdentifier
    } finally {
      await reader.close()
    }
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    context.log.debug(`unable to read "${key}" while checking whose archive this is: ${error.message}`)
    return undefined
  }
}

interface Remembered {
  readonly storage: string
  readonly systemIdentifier: string
}

function rememberedPath(walDirectory: string): string {
  return join(walDirectory, 'walg_data', 'walg_archive_identity')
}

function readRemembered(walDirectory: string | undefined): Remembered | null {
  if (walDirectory === undefined) return null
  try {
    return JSON.parse(readFileSync(rememberedPath(walDirectory), 'utf8')) as Remembered | null
  } catch (error) {
    // Whatever keeps it from us (the file of another user, say): then the archive is asked.
    if (errnoOf(error) !== undefined || error instanceof SyntaxError) return null
    throw error
  }
}

/** Only saves a lookup next time: a directory that takes no notes is no reason to fail a push. */
async function remember(
  context: OperationContext,
  walDirectory: string | undefined,
  identity: Remembered,
): Promise<void> {
  if (walDirectory === undefined) return
  try {
    mkdirSync(join(walDirectory, 'walg_data'), { recursive: true, mode: 0o700 })
    await writeFileDurably(rememberedPath(walDirectory), JSON.stringify(identity), { isDurable: false })
  } catch (error) {
    context.log.debug(
      `unable to note whose archive this is: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}
