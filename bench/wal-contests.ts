import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Contender, compete, type Standing } from './contest.ts'
import { copyBusySegment, treeBytes } from './data-sets.ts'
import { type CommandLine, time } from './measure.ts'
import type { Method } from './options.ts'
import { type Place, type WalgProgram, walgEnvironment, walgPrograms } from './place.ts'

/** What a start alone costs. */
export function contestStart(place: Place): Promise<Standing[]> {
  const contenders = walgPrograms(place.options).map(
    ({ name, file }): Contender => ({ name, command: { file, args: ['--version'] } }),
  )
  return compete('start', contenders, place.options.walRuns)
}

/** One full segment into an archive that exists, as the archiver does it, with nothing else to push. */
export async function contestWalPush(place: Place, method: Method): Promise<Standing[]> {
  const segment = await segmentOf(place)
  const contenders = walgPrograms(place.options).map((program): Contender => {
    const repository = repositoryOf(place, program, 'archive')
    const walDirectory = place.directory.at(program.name, 'pg_wal')
    mkdirSync(path.join(walDirectory, 'archive_status'), { recursive: true })
    copyFileSync(place.directory.at('segment', segment), path.join(walDirectory, segment))
    return {
      name: program.name,
      command: pushCommand(place, program, method, path.join(walDirectory, segment), repository),
      prepare() {
        removeFiles(path.join(repository, 'wal_005'))
        removeFiles(path.join(walDirectory, 'walg_data/walg_push_records'))
      },
      storedBytes: () => treeBytes(path.join(repository, 'wal_005')),
    }
  })
  return compete(`wal-push ${method}`, contenders, place.options.walRuns)
}

/** One full segment to the name that a recovering server asks for. */
export async function contestWalFetch(place: Place, method: Method): Promise<Standing[]> {
  const segment = await segmentOf(place)
  const contenders = walgPrograms(place.options).map((program): Contender => {
    const repository = repositoryOf(place, program, `fetch-${method}`)
    const walDirectory = place.directory.at(program.name, 'restored/pg_wal')
    mkdirSync(walDirectory, { recursive: true })
    time(pushCommand(place, program, method, place.directory.at('segment', segment), repository))
    const target = path.join(walDirectory, 'RECOVERYXLOG')
    return {
      name: program.name,
      command: {
        file: program.file,
        args: ['wal-fetch', segment, target],
        // Both read ahead in a process of its own, which is not what is measured.
        env: { ...walgEnvironment(place, repository, method), WALG_DOWNLOAD_CONCURRENCY: '1' },
      },
      prepare: () => rmSync(target, { force: true }),
    }
  })
  return compete(`wal-fetch ${method}`, contenders, place.options.walRuns)
}

function pushCommand(
  place: Place,
  program: WalgProgram,
  method: Method,
  file: string,
  repository: string,
): CommandLine {
  return {
    file: program.file,
    args: ['wal-push', file],
    env: walgEnvironment(place, repository, method),
  }
}

const segments = new WeakMap<Place, Promise<string>>()

export function segmentOf(place: Place): Promise<string> {
  const known = segments.get(place) ?? copyBusySegment(place.cluster, place.directory.at('segment'))
  segments.set(place, known)
  return known
}

function repositoryOf(place: Place, program: WalgProgram, name: string): string {
  const repository = place.directory.at(program.name, name)
  mkdirSync(path.join(repository, 'wal_005'), { recursive: true })
  return repository
}

export function removeFiles(directory: string): void {
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory)) rmSync(path.join(directory, name), { recursive: true })
}
