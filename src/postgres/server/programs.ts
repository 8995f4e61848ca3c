import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { WalgError } from '../../kit/errors.ts'

/** The programs of one major. */
export interface ServerPrograms {
  readonly directory: string
  readonly postgres: string
  /** As it says itself: `15.18`. */
  readonly version: string
}

export interface ProgramSearch {
  readonly majorVersion: number
  /** WALG_PG_BIN_DIR: the only place then. */
  readonly directory: string | undefined
  /** Directories of PATH. */
  readonly searchPath: readonly string[]
}

const VERSION_TIMEOUT_MS = 10_000

/** Where the packages of distributions put a major. */
function usualPlaces(majorVersion: number): string[] {
  return [
    `/usr/lib/postgresql/${majorVersion}/bin`,
    `/usr/pgsql-${majorVersion}/bin`,
    `/usr/libexec/postgresql${majorVersion}`,
    `/usr/lib/postgresql${majorVersion}/bin`,
    `/opt/homebrew/opt/postgresql@${majorVersion}/bin`,
    '/usr/local/pgsql/bin',
  ]
}

/** Finds `postgres` of a major. Throws FILE_NOT_FOUND, saying where was looked, or VERSION_UNSUPPORTED for WALG_PG_BIN_DIR of another one. */
export async function findServerPrograms(search: ProgramSearch): Promise<ServerPrograms> {
  const { majorVersion, directory, searchPath } = search
  const places = directory === undefined ? [...searchPath, ...usualPlaces(majorVersion)] : [directory]
  const others: string[] = []
  for (const place of new Set(places)) {
    const postgres = path.join(place, 'postgres')
    if (!fs.existsSync(postgres)) continue
    const version = await versionOf(postgres)
    if (version !== undefined && Number.parseInt(version, 10) === majorVersion) {
      return { directory: place, postgres, version }
    }
    others.push(`${postgres} is ${version ?? 'not to be run'}`)
  }
  const found = others.length === 0 ? '' : ` (${others.join(', ')})`
  throw new WalgError(
    directory === undefined || others.length === 0 ? 'FILE_NOT_FOUND' : 'VERSION_UNSUPPORTED',
    `the program "postgres" of PostgreSQL ${majorVersion} was not found${found}`,
    {
      facts: { majorVersion },
      hint: `install PostgreSQL ${majorVersion}, or set WALG_PG_BIN_DIR to the directory that holds it; looked in: ${[...new Set(places)].join(', ')}`,
    },
  )
}

function versionOf(postgres: string): Promise<string | undefined> {
  return new Promise(resolve => {
    execFile(postgres, ['--version'], { timeout: VERSION_TIMEOUT_MS }, (_error, stdout) => {
      resolve(/\(PostgreSQL\) (\d+\S*)/.exec(stdout)?.[1])
    })
  })
}
