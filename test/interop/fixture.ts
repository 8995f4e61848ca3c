import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { SETTINGS } from '../../src/cli/settings.ts'
import { giveTreeToClusterUser } from '../support/cluster-template.ts'
import { interopDirectory, interopFixtures } from '../support/skip.ts'
import type { ClusterState } from './cluster-state.ts'
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
  readonly catchupManifestKeys?: readonly string[]
  readonly recoveries?: readonly Recovery[]
  /** Fetched to the original places: what came besides. */
  readonly fetchInPlace?: {
    readonly results: readonly { readonly backup: string; readonly extraFilesComparedWithRestoreSpec: Tree }[]
  }
}

/** What PostgreSQL holds after it was started on a fetched backup and has promoted itself. */
export interface Recovery {
  readonly backup: string
  /** `end of WAL`, or the setting that names the target. */
  readonly target: string | Readonly<Record<string, string>>
  readonly expect: ClusterState
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

/** The backup that is fetched, and the catchup backup that is then fetched over it. */
export function backupsOf({ backup }: Recovery): { readonly backup: string; readonly catchup?: string } {
  const [, first, catchup] = /^(\S+) then catchup-fetch (\S+) over it$/.exec(backup) ?? []
  return first === undefined || catchup === undefined ? { backup } : { backup: first, catchup }
}

/** Under which key the manifests have the directory after both. */
export function catchupManifestKey({ catchupManifestKeys = [] }: Fixture, catchup: string): string {
  const key = catchupManifestKeys.find(one => one.includes(`over`) && one.includes(catchup))
  if (key === undefined) throw new Error(`nothing recorded what catchup-fetch of ${catchup} makes`)
  return key
}

/** False when one of these settings belongs to a later piece. */
export function areAvailable(settings: Readonly<Record<string, string>>): boolean {
  return Object.keys(settings).every(name => SETTINGS[name]?.later === undefined)
}

/** Fixtures with backups: `now` restore with this version, `later` need a setting of a later piece (a key). */
export function planFixtures(): { readonly now: readonly Fixture[]; readonly later: readonly Fixture[] } {
  const all = backupFixtures()
  const isNow = (fixture: Fixture): boolean => areAvailable(fixture.settingsToRead)
  return { now: all.filter(isNow), later: all.filter(fixture => !isNow(fixture)) }
}

/** Unpacks the repository into a new folder below `into`; modification times are kept. */
export function extractFixture(name: string, into: string): string {
  const root = path.join(into, name)
  mkdirSync(root, { recursive: true })
  const archive = path.join(interopDirectory(), `${name}.tar`)
  const run = spawnSync('tar', ['-xf', archive, '-C', root], { encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`unable to extract ${archive}: ${run.stderr}`)
  giveTreeToClusterUser(root)
  return root
}

/** What each backup restores to: by backup name, or by flags and backup name. */
export function fixtureManifests(name: string): Readonly<Record<string, Tree>> {
  const packed = readFileSync(path.join(interopDirectory(), `${name}.manifest.json.gz`))
  return JSON.parse(gunzipSync(packed).toString('utf8')) as Record<string, Tree>
}
