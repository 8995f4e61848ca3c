import { copyFileSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { generateKey } from 'openpgp'
import { type Contender, compete, type Standing } from './contest.ts'
import { treeBytes } from './data-sets.ts'
import { time } from './measure.ts'
import type { Method } from './options.ts'
import { emptyDirectory, emptyRepository, type Place, repositoryOf, walgEnvironment } from './place.ts'
import { removeFiles, segmentOf } from './wal-contests.ts'

/** How the same is sealed: with settings for writing, and for reading. */
interface Sealing {
  readonly name: string
  readonly write: Readonly<Record<string, string>>
  readonly read: Readonly<Record<string, string>>
}

/** Not sealed, with one secret key, to a public key. */
export async function sealings(): Promise<readonly Sealing[]> {
  const { publicKey, privateKey } = await generateKey({
    type: 'curve25519',
    userIDs: [{ name: 'bench' }],
    format: 'armored',
  })
  const sodium = { WALG_LIBSODIUM_KEY: '0123456789abcdef'.repeat(4), WALG_LIBSODIUM_KEY_TRANSFORM: 'hex' }
  return [
    { name: 'plain', write: {}, read: {} },
    { name: 'libsodium', write: sodium, read: sodium },
    { name: 'OpenPGP', write: { WALG_PGP_KEY: publicKey }, read: { WALG_PGP_KEY: privateKey } },
  ]
}

export async function contestSealedWalPush(place: Place, ways: readonly Sealing[]): Promise<Standing[]> {
  const segment = await segmentOf(place)
  const contenders = ways.map(({ name, write }): Contender => {
    const repository = place.directory.at('sealed', name)
    emptyDirectory(repository)
    const walDirectory = place.directory.at('sealed-of', name)
    mkdirSync(path.join(walDirectory, 'archive_status'), { recursive: true })
    const file = path.join(walDirectory, segment)
    copyFileSync(place.directory.at('segment', segment), file)
    return {
      name,
      command: {
        file: place.options.program,
        args: ['wal-push', file],
        env: { ...walgEnvironment(place, repository, 'zstd'), PGDATA: '', ...write },
      },
      prepare() {
        emptyDirectory(repository)
        removeFiles(path.join(walDirectory, 'walg_data/walg_push_records'))
      },
    }
  })
  return compete('wal-push sealed', contenders, place.options.walRuns)
}

export function contestSealedPush(
  place: Place,
  ways: readonly Sealing[],
  method: Method,
): Promise<Standing[]> {
  const repository = repositoryOf(place, 'sealed')
  const contenders = ways.map(
    ({ name, write }): Contender => ({
      name,
      command: {
        file: place.options.program,
        args: ['backup-push', place.cluster.dataDirectory],
        env: { ...walgEnvironment(place, repository, method), ...write },
      },
      prepare: () => emptyRepository(repository),
      storedBytes: () => treeBytes(path.join(repository, 'basebackups_005')),
    }),
  )
  return compete(`backup-push sealed ${method}`, contenders, place.options.runs)
}

export function contestSealedFetch(
  place: Place,
  ways: readonly Sealing[],
  method: Method,
): Promise<Standing[]> {
  const target = place.directory.at('restored', 'sealed')
  const contenders = ways.map(({ name, write, read }): Contender => {
    const repository = repositoryOf(place, `sealed-${name}`)
    emptyRepository(repository)
    const env = walgEnvironment(place, repository, method)
    const file = place.options.program
    time({ file, args: ['backup-push', place.cluster.dataDirectory], env: { ...env, ...write } })
    return {
      name,
      command: { file, args: ['backup-fetch', target, 'LATEST'], env: { ...env, ...read } },
      prepare: () => emptyDirectory(target),
    }
  })
  return compete(`backup-fetch sealed ${method}`, contenders, place.options.runs)
}
