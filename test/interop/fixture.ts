import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { interopDirectory, interopFixtures } from '../support/skip.ts'
import type { Tree } from './restored-tree.ts'

/** A repository written by the original, as `<name>.json` describes it. */
export interface Fixture {
  readonly fixture: string
  readonly postgresql: string
  readonly settingsToRead: Readonly<Record<string, string>>
  readonly originalPGDATA: string
  readonly backups?: readonly {
    readonly name: string
    readonly kind: 'full' | 'delta'
    readonly tablespaces?: readonly string[]
  }[]
  readonly latest?: string
  readonly manifestMadeWithRestoreSpec?: boolean
}

export function readFixture(name: string): Fixture {
  return JSON.parse(readFileSync(path.join(interopDirectory(), `${name}.json`), 'utf8')) as Fixture
}

/** Every fixture with backups, sorted. */
export function backupFixtures(): Fixture[] {
  return interopFixtures()
    .map(readFixture)
    .filter(({ backups }) => backups !== undefined)
}

/** True when its objects are encrypted, which is a later piece. */
export function needsKey({ settingsToRead }: Fixture): boolean {
  return Object.keys(settingsToRead).some(name => /LIBSODIUM|PGP|GPG/.test(name))
}

/** Unpacks the repository into a new folder below `into`; modification times are kept. */
export function extractFixture(name: string, into: string): string {
  const root = path.join(into, name)
  mkdirSync(root, { recursive: true })
  const archive = path.join(interopDirectory(), `${name}.tar`)
  const run = spawnSync('tar', ['-xf', archive, '-C', root], { encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`unable to extract ${archive}: ${run.stderr}`)
  return root
}

/** What each backup restores to: by backup name, or by flags and backup name. */
export function fixtureManifests(name: string): Readonly<Record<string, Tree>> {
  const packed = readFileSync(path.join(interopDirectory(), `${name}.manifest.json.gz`))
  return JSON.parse(gunzipSync(packed).toString('utf8')) as Record<string, Tree>
}
