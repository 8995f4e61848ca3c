import { expect, test } from 'bun:test'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import { describeUnless, missingReference } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { segmentName, walBytes } from '../../support/wal-bytes.ts'
import { type Environment, METHODS, objectsOf, run, succeed, type Tool } from './pair.ts'

const reason = missingReference()
const SEGMENT = segmentName(18)
const DIRECTIONS: readonly (readonly [pusher: Tool, fetcher: Tool])[] = [
  ['ours', 'original'],
  ['original', 'ours'],
]

/** Everything that PostgreSQL archives, by name. */
const FILES: Readonly<Record<string, Uint8Array>> = {
  [SEGMENT]: walBytes(SEGMENT),
  '00000002.history': Buffer.from('1\t0/1300000\tno recovery target specified\n'),
  [`${SEGMENT}.00000028.backup`]: Buffer.from(`START WAL LOCATION: 0/1200028 (file ${SEGMENT})\n`),
  [`${segmentName(19)}.partial`]: walBytes(segmentName(19)),
}

interface Place {
  readonly place: TempDirectory
  readonly repository: string
  readonly env: Environment
  /** Writes a file where PostgreSQL would have it; returns its path. */
  file(name: string, bytes: Uint8Array): string
}

function newPlace(method: string): Place {
  const place = tempDirectory('reference-wal')
  for (const folder of ['repository', 'pg_wal', 'pg_wal/archive_status', 'fetched'])
    mkdirSync(place.at(folder))
  giveTreeToClusterUser(place.path)
  const repository = place.at('repository')
  return {
    place,
    repository,
    env: {
      WALG_FILE_PREFIX: repository,
      WALG_COMPRESSION_METHOD: method,
      WALG_PG_WAL_SIZE: '1',
      WALG_DOWNLOAD_CONCURRENCY: '1',
    },
    file(name, bytes) {
      const file = place.at('pg_wal', name)
      writeFileSync(file, bytes)
      giveTreeToClusterUser(place.at('pg_wal'))
      return file
    },
  }
}

describeUnless(reason, 'WAL of ours and of the original', () => {
  for (const method of METHODS) {
    for (const [pusher, fetcher] of DIRECTIONS) {
      test(`${method}: what ${pusher} pushed, ${fetcher} fetches, every kind of file`, async () => {
        const { place, env, file, repository } = newPlace(method)
        using _ = place
        for (const [name, bytes] of Object.entries(FILES)) {
          await succeed(pusher, ['wal-push', file(name, bytes)], env)
          const target = place.at('fetched', name)
          await succeed(fetcher, ['wal-fetch', name, target], env)
          expect(readFileSync(target).equals(bytes), name).toBe(true)
        }
        expect(objectsOf(repository)).toHaveLength(Object.keys(FILES).length)
        const missing = await run(fetcher, ['wal-fetch', segmentName(99), place.at('fetched/missing')], env)
        expect(missing.exit).toBe(74)
      }, 60_000)

      test(`${method}: what ${pusher} pushed, ${fetcher} neither stores again nor replaces`, async () => {
        const { place, env, file, repository } = newPlace(method)
        using _ = place
        const guarded = { ...env, WALG_PREVENT_WAL_OVERWRITE: 'true' }
        await succeed(pusher, ['wal-push', file(SEGMENT, FILES[SEGMENT]!)], guarded)
        const stored = objectsOf(repository)
        const again = await succeed(fetcher, ['wal-push', place.at('pg_wal', SEGMENT)], guarded)
        expect(again.stderr).toContain('already archived with equal content, skipping')
        const other = await run(fetcher, ['wal-push', file(SEGMENT, walBytes(SEGMENT, { salt: 7 }))], guarded)
        expect(other.exit).toBe(1)
        expect(other.stderr).toContain('already archived, contents differ, unable to overwrite')
        expect(objectsOf(repository)).toEqual(stored)
        await succeed(fetcher, ['wal-fetch', SEGMENT, place.at('fetched', SEGMENT)], env)
        expect(readFileSync(place.at('fetched', SEGMENT)).equals(FILES[SEGMENT]!)).toBe(true)
      }, 60_000)
    }
  }
})
