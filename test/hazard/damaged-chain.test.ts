import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { extractFixture, fixtureManifests, readFixture } from '../interop/fixture.ts'
import { compareTrees, readTree, withoutServerManifest } from '../interop/restored-tree.ts'
import { describeUnless, missingInterop } from '../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { copyRepository, errorsOf, looksComplete, PARTS, type Repository, repositoryAt } from './sample.ts'

let place: TempDirectory
let serial = 0

beforeAll(() => {
  place = tempDirectory('damaged-chain')
})
afterAll(() => place.remove())

const settings = { WALG_PG_WAL_SIZE: '16', WALG_TAR_SIZE_THRESHOLD: '1000000000' }
let extracted: { readonly repository: Repository; readonly full: string; readonly delta: string } | undefined

/** A chain that the original has written: no content manifest guards it. */
function fixture() {
  if (extracted === undefined) {
    const { backups, settingsToRead } = readFixture('pg18-lz4-deltas')
    const root = extractFixture('pg18-lz4-deltas', place.path)
    const repository = repositoryAt(root, { ...settings, ...settingsToRead })
    const delta = backups!.find(({ kind }) => kind === 'delta')!.name
    extracted = { repository, full: backups![0]!.name, delta }
  }
  return extracted
}

function damagedCopy(damage: (repository: Repository) => void): Repository {
  const repository = copyRepository(fixture().repository, place.at(`copy-${serial++}`), settings)
  damage(repository)
  return repository
}

async function expectRefused(repository: Repository, named: string): Promise<void> {
  const target = place.at(`target-${serial++}`)
  const run = await repository.run(['backup-fetch', target, fixture().delta])
  expect([run.exit, errorsOf(run)]).toEqual([1, expect.stringContaining(named)])
  expect(existsSync(target) && looksComplete(target)).toBe(false)
  rmSync(target, { recursive: true, force: true })
  rmSync(repository.root, { recursive: true })
}

describeUnless(missingInterop(), 'a delta chain of the original that was damaged', () => {
  for (const how of ['removed', 'empty', 'cut'] as const) {
    test(`files_metadata.json of the delta ${how}: an error, where the original leaves a ruined directory`, () =>
      expectRefused(
        damagedCopy(repository => {
          const file = repository.backupPath(fixture().delta, 'files_metadata.json')
          if (how === 'removed') rmSync(file)
          else truncateSync(file, how === 'empty' ? 0 : readFileSync(file).length >> 1)
        }),
        'files_metadata.json',
      ))
  }

  test('the parent is gone, or another backup has taken its place', async () => {
    const { full, delta } = fixture()
    const sentinel = `${full}_backup_stop_sentinel.json`
    await expectRefused(
      damagedCopy(repository => rmSync(repository.backupPath(sentinel))),
      full,
    )
    await expectRefused(
      damagedCopy(repository => {
        const text = readFileSync(repository.backupPath(sentinel), 'utf8')
        writeFileSync(repository.backupPath(sentinel), text.replace(/"LSN":(\d+)/, '"LSN":12345'))
      }),
      delta,
    )
  })

  for (const which of ['full', 'delta'] as const) {
    test(`a part of the ${which} removed, empty or cut is noticed without any content manifest`, async () => {
      const name = fixture()[which]
      const parts = readdirSync(fixture().repository.backupPath(name, PARTS)).filter(part =>
        /^part_/.test(part),
      )
      const part = parts[parts.length - 1]!
      const inCopy = (change: (file: string) => void): Repository =>
        damagedCopy(repository => change(repository.backupPath(name, PARTS, part)))
      await expectRefused(
        inCopy(file => rmSync(file)),
        part,
      )
      await expectRefused(
        inCopy(file => truncateSync(file, 0)),
        part,
      )
      await expectRefused(
        inCopy(file => truncateSync(file, readFileSync(file).length >> 1)),
        part,
      )
    })
  }

  test('pg_control.tar or backup_label.tar removed', async () => {
    const { delta } = fixture()
    for (const part of ['pg_control.tar', 'backup_label.tar']) {
      const file = readdirSync(fixture().repository.backupPath(delta, PARTS)).find(name =>
        name.startsWith(part),
      )
      if (file === undefined) continue
      await expectRefused(
        damagedCopy(repository => rmSync(repository.backupPath(delta, PARTS, file))),
        part.replace('.tar', ''),
      )
    }
  })
})

describeUnless(missingInterop(), 'sentinels of version 1', () => {
  test('every backup restores as the original of that time restored it, deltas too', async () => {
    const { backups, settingsToRead } = readFixture('derived-v1-sentinels')
    const root = extractFixture('derived-v1-sentinels', place.path)
    const repository = repositoryAt(root, { ...settings, ...settingsToRead })
    const manifests = fixtureManifests('derived-v1-sentinels')
    expect(backups!.map(({ kind }) => kind)).toContain('delta')
    for (const { name } of backups!) {
      const target = place.at(`v1-${serial++}`)
      mkdirSync(target)
      const run = await repository.run(['backup-fetch', target, name])
      expect([run.exit, errorsOf(run)]).toEqual([0, expect.any(String)])
      const expected = withoutServerManifest(manifests[name]!)
      expect(compareTrees(expected, withoutServerManifest(readTree(target)))).toEqual([])
    }
  })
})
