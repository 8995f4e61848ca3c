import { mkdirSync } from 'node:fs'
import type { CommandLine } from './measure.ts'
import { time } from './measure.ts'
import type { Method } from './options.ts'
import { emptyDirectory, installed, type Place } from './place.ts'

export interface PgBackRest {
  readonly repository: string
  readonly target: string
  /** An empty repository with its stanza. */
  create(): void
  readonly backup: CommandLine
  readonly restore: CommandLine
}

const COMPRESSIONS: Partial<Record<Method, string>> = { lz4: 'lz4', zstd: 'zst', none: 'none' }

/** pgBackRest with two processes, everything it needs given on its command line; or why there is none. */
export function pgBackRest(place: Place, method: Method, purpose: string): PgBackRest | string {
  const file = installed('pgbackrest')
  if (file === undefined) return 'not installed'
  const compression = COMPRESSIONS[method]
  if (compression === undefined) return `has no ${method}`
  const { cluster, directory } = place
  const repository = directory.at(`pgbackrest-${purpose}`)
  const target = directory.at('restored', 'pgbackrest')
  const work = directory.at('pgbackrest-work')
  mkdirSync(work, { recursive: true })
  const common = [
    '--stanza=bench',
    `--repo1-path=${repository}`,
    `--lock-path=${work}`,
    `--log-path=${work}`,
    '--log-level-file=off',
    '--log-level-console=off',
    '--log-level-stderr=error',
  ]
  const server = [
    `--pg1-path=${cluster.dataDirectory}`,
    `--pg1-socket-path=${cluster.directory}`,
    `--pg1-port=${cluster.port}`,
    '--pg1-user=postgres',
  ]
  const work2 = [`--compress-type=${compression}`, '--process-max=2']
  return {
    repository,
    target,
    create() {
      emptyDirectory(repository)
      time({ file, args: [...common, ...server, 'stanza-create'] })
    },
    backup: {
      file,
      args: [
        ...common,
        ...server,
        ...work2,
        '--start-fast',
        '--no-archive-check',
        '--repo1-retention-full=2',
        '--type=full',
        'backup',
      ],
    },
    restore: { file, args: [...common, `--pg1-path=${target}`, '--process-max=2', 'restore'] },
  }
}
