import { statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { openCodec } from '../../codec/open-codec.ts'
import { warmUpOpening } from '../../codec/warm-up.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { CreatedTablespaces } from '../../operations/wal-fetch/created-tablespaces.ts'
import { prefetchBase, prefetchPlace } from '../../operations/wal-fetch/prefetch-origin.ts'
import { needsPrefetch } from '../../operations/wal-fetch/prefetch-plan.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import type { StorageDescription } from '../../storage/description.ts'
import type { Storage } from '../../storage/storage.ts'
import { TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { isRecoveringForGood } from '../exit-code.ts'
import { archivesOf, withOpened } from '../opened-storages.ts'
import { SEGMENT_BYTES_FLAG } from './wal-prefetch.ts'

const MODES: readonly CreatedTablespaces[] = ['as-recorded', 'guarded', 'in-place']

export const command: CommandDefinition = {
  name: 'wal-fetch',
  usage: 'wal-fetch wal_name destination_filename',
  summary: 'Fetches a WAL file from storage',
  positionals: { kind: 'exact', count: 2 },
  flags: [
    {
      name: 'created-tablespaces',
      type: 'string',
      // written by restore and drill; the help is the original's
      hidden: true,
      doc: 'Tablespaces that the WAL creates: as-recorded (default), guarded (a place with files of a server is refused) or in-place',
    },
    TARGET_STORAGE_FLAG,
  ],
  needsStorage: true,
  isWalTraffic: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    warmUpOpening(invocation.codecDescription)
    const { walFetch } = await import('../../operations/wal-fetch/wal-fetch.ts')
    const [name = '', destination = ''] = invocation.positionals
    const { settings, positionals } = invocation
    const createdTablespaces = readCreatedTablespaces(invocation)
    const server = { positionals, workingDirectory: process.cwd(), pgdata: settings.PGDATA }
    const hasPrefetch = settings.WALG_DOWNLOAD_CONCURRENCY > 1 && !isKeptAsNamed(name, destination)
    const opened = await invocation.openForFetch({ isProved: true })
    const archives = archivesOf(opened)
    const fetchFrom = (storage: Storage): Promise<unknown> =>
      walFetch(
        { ...invocation, storage, codec: openCodec(invocation.codecDescription) },
        {
          name,
          destination,
          prefetchDirectory: settings.WALG_PREFETCH_DIR,
          takesPrefetched: hasPrefetch,
          archives,
          clearsAway: !hasPrefetch,
          holesOfSegmentBytes: isRecoveringForGood(server)
            ? settings.WALG_PG_WAL_SIZE * 1024 * 1024
            : undefined,
          createdTablespaces,
        },
      )
    await withOpened(opened, async ({ merged, dead }) => {
      try {
        await fetchFrom(merged)
      } catch (error) {
        if (!hasCode(error, 'WAL_NOT_FOUND') || dead.length === 0) throw error
        await fetchFromDead(invocation, name, dead, fetchFrom, error)
      }
    })
    if (hasPrefetch) {
      await startPrefetch(invocation, name, destination, archives).catch((error: unknown) =>
        // what was asked for is delivered
        invocation.log.warning(
          `unable to read ahead: ${error instanceof Error ? error.message : String(error)}`,
        ),
      )
    }
    return 0
  },
}

function readCreatedTablespaces({ flags }: Invocation): CreatedTablespaces {
  const mode = flags['created-tablespaces'] ?? 'as-recorded'
  const known = MODES.find(each => each === mode)
  if (known !== undefined) return known
  throw new WalgError('USAGE', `--created-tablespaces "${String(mode)}": not one of ${MODES.join(', ')}`)
}

/**
 * "Not in the archive" holds only when every storage has said so: those that were not alive are asked now. One that
 * still does not answer is a failure, not an absence: PostgreSQL would end recovery.
 */
async function fetchFromDead(
  invocation: Invocation,
  name: string,
  dead: readonly StorageDescription[],
  fetchFrom: (storage: Storage) => Promise<unknown>,
  absence: WalgError,
): Promise<void> {
  for (const description of dead) {
    let storage: Storage
    try {
      storage = await invocation.openStorage({ description })
    } catch (error) {
      throw new WalgError(
        'STORAGE_UNAVAILABLE',
        `"${name}" is in none of the storages that answer, and storage "${description.name}" does not`,
        {
          facts: { name, storage: description.name },
          cause: error,
          hint: 'it may be there: mend that storage, or take it out of WALG_FAILOVER_STORAGES for good',
        },
      )
    }
    try {
      await fetchFrom(storage)
      return
    } catch (error) {
      if (!hasCode(error, 'WAL_NOT_FOUND')) throw error
    } finally {
      await storage.close()
    }
  }
  throw absence
}

/**
 * Starts a process of its own that reads ahead; recovery does not wait for it, and its failure is only that the
 * next fetch has nothing to take.
 */
async function startPrefetch(
  invocation: Invocation,
  name: string,
  destination: string,
  archives: readonly StorageDescription[],
): Promise<void> {
  const { program, settings, log } = invocation
  const location = resolve(destination)
  if (!isSegmentName(name)) return
  // PostgreSQL may have taken the file away already
  const fetchedBytes = statSync(location, { throwIfNoEntry: false })?.size
  const segmentBytes = fetchedBytes ?? settings.WALG_PG_WAL_SIZE * 1024 * 1024
  const plan = { name, depth: settings.WALG_DOWNLOAD_CONCURRENCY, segmentBytes }
  if (!needsPrefetch(prefetchPlace(prefetchBase(settings.WALG_PREFETCH_DIR, location), archives), plan))
    return
  const { spawn } = await import('node:child_process')
  const child = spawn(
    program.executable,
    [
      ...program.args,
      'wal-prefetch',
      name,
      location,
      `--${SEGMENT_BYTES_FLAG}=${segmentBytes}`,
      ...targetOf(invocation),
      ...program.globalArgs,
    ],
    {
      detached: true,
      stdio: 'ignore',
    },
  )
  child.on('error', error => log.debug(`unable to start wal-prefetch: ${error.message}`))
  child.unref()
}

/**
 * True for the destination that pg_rewind gives. Recovery's own is always RECOVERYXLOG. pg_rewind removes what it finds in pg_wal,
 * and fails when a file that it has seen there is gone.
 */
function isKeptAsNamed(name: string, destination: string): boolean {
  const location = resolve(destination)
  return basename(location) === name && basename(dirname(location)) === 'pg_wal'
}

function targetOf({ flags }: Invocation): string[] {
  const target = flags['target-storage']
  return typeof target === 'string' ? [`--target-storage=${target}`] : []
}
