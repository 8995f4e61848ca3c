import { copyFileSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { type Contender, compete, type Standing } from './contest.ts'
import { time } from './measure.ts'
import { emptyDirectory, emptyRepository, type Place, repositoryOf, walgEnvironment } from './place.ts'
import { removeFiles, segmentOf } from './wal-contests.ts'

type Settings = Readonly<Record<string, string>>

/** The overwrite guard, and the records that are kept where PostgreSQL keeps its archive status. */
export async function contestWalPushVariants(place: Place): Promise<Standing[]> {
  const segment = await segmentOf(place)
  const repository = place.directory.at('variants')
  emptyDirectory(repository)
  mkdirSync(path.join(repository, 'wal_005'))
  const variant = (name: string, hasStatus: boolean, settings: Settings): Contender => {
    const walDirectory = place.directory.at('variants-of', name.replaceAll(' ', '-'))
    mkdirSync(hasStatus ? path.join(walDirectory, 'archive_status') : walDirectory, { recursive: true })
    const file = path.join(walDirectory, segment)
    copyFileSync(place.directory.at('segment', segment), file)
    const env = { ...walgEnvironment(place, repository, 'lz4'), PGDATA: '', ...settings }
    return {
      name,
      command: { file: place.options.program, args: ['wal-push', file], env },
      prepare() {
        removeFiles(path.join(repository, 'wal_005'))
        removeFiles(path.join(walDirectory, 'walg_data/walg_push_records'))
      },
    }
  }
  const contenders = [
    variant('as it is', true, {}),
    variant('no records', false, {}),
    variant('no guard', true, { WALG_PREVENT_WAL_OVERWRITE: 'false' }),
    variant('neither', false, { WALG_PREVENT_WAL_OVERWRITE: 'false' }),
  ]
  return compete('wal-push variants', contenders, place.options.walRuns)
}

export function contestPushVariants(place: Place): Promise<Standing[]> {
  const repository = repositoryOf(place, 'variants')
  const variant = (name: string, args: readonly string[]): Contender => ({
    name,
    command: {
      file: place.options.program,
      args: ['backup-push', place.cluster.dataDirectory, ...args],
      env: walgEnvironment(place, repository, 'lz4'),
    },
    prepare: () => emptyRepository(repository),
  })
  return compete(
    'backup-push variants',
    [variant('as it is', []), variant('with --verify', ['--verify'])],
    place.options.runs,
  )
}

export function contestFetchVariants(place: Place): Promise<Standing[]> {
  const repository = repositoryOf(place, 'variants')
  const target = place.directory.at('restored', 'variant')
  const env = walgEnvironment(place, repository, 'lz4')
  emptyRepository(repository)
  time({ file: place.options.program, args: ['backup-push', place.cluster.dataDirectory], env })
  const variant = (checksums: string): Contender => ({
    name: `checksums ${checksums}`,
    command: {
      file: place.options.program,
      args: ['backup-fetch', target, 'LATEST'],
      env: { ...env, WALG_BACKUP_MANIFEST_CHECKSUMS: checksums },
    },
    prepare: () => emptyDirectory(target),
  })
  const contenders = [variant('none'), variant('crc32c'), variant('sha256')]
  return compete('backup-fetch variants', contenders, place.options.runs)
}
