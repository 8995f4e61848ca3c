import { afterAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { Finished } from '../support/process.ts'
import { describeUnless, interopDirectory, missingInterop } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'
import { extractFixture, planFixtures } from './fixture.ts'

interface Encodings {
  readonly segment: string
  readonly sha256: string
  readonly size: number
  readonly walSegmentSizeMiB: number
  readonly roots: Readonly<Record<string, { readonly settings: Readonly<Record<string, string>> }>>
  readonly mixed: Readonly<Record<string, { readonly sha256: string; readonly size: number }>>
  readonly precedence: {
    readonly name: string
    readonly contents: Readonly<Record<string, string>>
    readonly orderFoundByRemovingTheWinnerEachTime: readonly string[]
  }
}

/** Roots of `wal-encodings`: plain forms, forms that need a key, and the two special ones. */
const EXPECTED = { plain: 12, keyed: 3, special: 2 }
const SPECIAL = ['mixed', 'precedence']

const reason = missingInterop()
const folder = tempDirectory('encodings')
const encodings: Encodings | undefined =
  reason === undefined
    ? JSON.parse(readFileSync(path.join(interopDirectory(), 'wal-encodings.json'), 'utf8'))
    : undefined
const roots = Object.entries(encodings?.roots ?? {}).filter(([name]) => !SPECIAL.includes(name))
const plainRoots = roots.filter(([, { settings }]) => Object.keys(settings).length === 0)
const keyedRoots = roots.filter(([, { settings }]) => Object.keys(settings).length > 0)
const root = reason === undefined ? extractFixture('wal-encodings', folder.path) : ''
let fetched = 0

afterAll(() => folder.remove())

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** `wal-fetch` into a folder of its own; what was written, or undefined. */
async function fetchWal(
  repository: string,
  name: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Finished & { readonly bytes: Buffer | undefined; readonly leftovers: readonly string[] }> {
  using target = tempDirectory('wal')
  const env = {
    WALG_FILE_PREFIX: repository,
    WALG_PG_WAL_SIZE: String(encodings!.walSegmentSizeMiB),
    WALG_DOWNLOAD_CONCURRENCY: '1',
    ...settings,
  }
  const finished = await runWalg(['wal-fetch', name, target.at('wal')], { env })
  const bytes = existsSync(target.at('wal')) ? readFileSync(target.at('wal')) : undefined
  return { ...finished, bytes, leftovers: readdirSync(target.path).filter(file => file !== 'wal') }
}

describeUnless(reason, 'one segment in every stored form of the original', () => {
  test('all forms are here', () => {
    const special = SPECIAL.filter(name => name in encodings!.roots).length
    expect({ plain: plainRoots.length, keyed: keyedRoots.length, special }).toEqual(EXPECTED)
  })

  for (const [name] of plainRoots) {
    test(`${name}: wal-fetch gives the segment`, async () => {
      const { exit, stderr, bytes, leftovers } = await fetchWal(path.join(root, name), encodings!.segment)
      expect({ exit, stderr, leftovers }).toEqual({ exit: 0, stderr: '', leftovers: [] })
      expect({ size: bytes?.length, sha256: sha256(bytes!) }).toEqual({
        size: encodings!.size,
        sha256: encodings!.sha256,
      })
      fetched += 1
    })
  }

  test('mixed: every name is fetched, whatever form it has', async () => {
    for (const [name, expected] of Object.entries(encodings!.mixed)) {
      const { exit, stderr, bytes } = await fetchWal(path.join(root, 'mixed'), name)
      expect({ name, exit, stderr }).toEqual({ name, exit: 0, stderr: '' })
      expect({ size: bytes!.length, sha256: sha256(bytes!) }).toEqual({
        size: expected.size,
        sha256: expected.sha256,
      })
    }
    fetched += 1
  })

  test('precedence: of one name in eight forms the original order decides', async () => {
    // 22 bytes are no segment, which ours refuses (next test): the same objects under a name without that check
    const { name, contents, orderFoundByRemovingTheWinnerEachTime: order } = encodings!.precedence
    const copy = folder.at('order')
    cpSync(path.join(root, 'precedence'), copy, { recursive: true })
    const history = '00000077.history'
    const moved = (object: string): string =>
      path.join(copy, 'wal_005', `${history}${object.slice(name.length)}`)
    for (const object of order) renameSync(path.join(copy, 'wal_005', object), moved(object))
    expect(order).toHaveLength(8)
    for (const winner of order) {
      const { exit, bytes } = await fetchWal(copy, history)
      expect({ winner, exit, text: bytes?.toString() }).toEqual({ winner, exit: 0, text: contents[winner] })
      rmSync(moved(winner))
    }
    expect(await fetchWal(copy, history)).toMatchObject({ exit: 74, bytes: undefined })
    fetched += 1
  })

  test('precedence: an object that is no segment is an error naming it, never a delivered file', async () => {
    const { name } = encodings!.precedence
    const { exit, stderr, bytes } = await fetchWal(path.join(root, 'precedence'), name)
    expect({ exit, bytes }).toEqual({ exit: 1, bytes: undefined })
    expect(stderr).toContain(`wal_005/${name}.lz4`)
  })

  test('the count', () => {
    console.log(
      `wal encodings ${fetched}/${plainRoots.length + SPECIAL.length}; later: encryption ${keyedRoots.length} ` +
        `(${keyedRoots.map(([name]) => name).join(', ')})`,
    )
    expect(fetched).toBe(EXPECTED.plain + EXPECTED.special)
  })
})

describeUnless(reason, 'what is encrypted, until the encryption piece exists,', () => {
  for (const [name, { settings }] of keyedRoots) {
    test(`${name}: wal-fetch with the key names the setting, without it fails; nothing is delivered`, async () => {
      const repository = path.join(root, name)
      const withKey = await fetchWal(repository, encodings!.segment, settings)
      expect({ exit: withKey.exit, bytes: withKey.bytes }).toEqual({ exit: 1, bytes: undefined })
      for (const setting of Object.keys(settings)) expect(withKey.stderr).toContain(setting)
      for (const value of Object.values(settings).filter(text => text.length > 8)) {
        expect(withKey.stderr).not.toContain(value)
      }
      const withoutKey = await fetchWal(repository, encodings!.segment)
      expect({ exit: withoutKey.exit, bytes: withoutKey.bytes }).toEqual({ exit: 1, bytes: undefined })
      expect(withoutKey.stderr).toContain(encodings!.segment)
    })

    test(`${name}: wal-push with the key stores nothing, least of all plain data`, async () => {
      const repository = folder.at(`push-${name}`)
      mkdirSync(repository)
      const segment = path.join(root, 'none/wal_005', encodings!.segment)
      const env = { WALG_FILE_PREFIX: repository, WALG_PG_WAL_SIZE: '1', ...settings }
      const { exit, stderr } = await runWalg(['wal-push', segment], { env })
      expect(exit).toBe(1)
      for (const setting of Object.keys(settings)) expect(stderr).toContain(setting)
      expect(readdirSync(repository)).toEqual([])
    })
  }

  describe('backups', () => {
    for (const fixture of reason === undefined ? planFixtures().keyed : []) {
      test(`${fixture.fixture}: backup-fetch with the key names the setting, without it fails`, async () => {
        const repository = extractFixture(fixture.fixture, folder.path)
        const target = folder.at(`${fixture.fixture}.out`)
        const env = { WALG_FILE_PREFIX: repository, WALG_DOWNLOAD_FILE_RETRIES: '0' }
        const withKey = await runWalg(['backup-fetch', target, 'LATEST'], {
          env: { ...env, ...fixture.settingsToRead },
        })
        expect({ exit: withKey.exit, isThere: existsSync(target) }).toEqual({ exit: 1, isThere: false })
        for (const setting of Object.keys(fixture.settingsToRead).filter(key => /KEY/.test(key))) {
          expect(withKey.stderr).toContain(setting)
        }
        const withoutKey = await runWalg(['backup-fetch', target, 'LATEST'], { env })
        expect(withoutKey.exit).toBe(1)
        expect(withoutKey.stderr).toContain('tar_partitions/')
        expect(existsSync(path.join(target, 'PG_VERSION'))).toBe(false)
      })
    }
  })
})
