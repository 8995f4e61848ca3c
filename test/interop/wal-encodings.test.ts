import { afterAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { Finished } from '../support/process.ts'
import { describeUnless, interopDirectory, missingInterop } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'
import { areAvailable, backupFixtures, extractFixture, needsKey } from './fixture.ts'

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
const keyedRoots = roots.filter(([, { settings }]) => Object.keys(settings).length > 0)
const nowRoots = roots.filter(([, { settings }]) => areAvailable(settings))
const laterRoots = roots.filter(([, { settings }]) => !areAvailable(settings))
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
    expect({ plain: roots.length - keyedRoots.length, keyed: keyedRoots.length, special }).toEqual(EXPECTED)
  })

  for (const [name, { settings }] of nowRoots) {
    test(`${name}: wal-fetch gives the segment`, async () => {
      const repository = path.join(root, name)
      const { exit, stderr, bytes, leftovers } = await fetchWal(repository, encodings!.segment, settings)
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
      `wal encodings ${fetched}/${nowRoots.length + SPECIAL.length}; later: encryption ${laterRoots.length} ` +
        `(${laterRoots.map(([name]) => name).join(', ')})`,
    )
    expect(fetched + laterRoots.length).toBe(EXPECTED.plain + EXPECTED.keyed + EXPECTED.special)
  })
})

/** `wal-fetch` or `backup-fetch` with settings of a later piece: refused, naming them, telling no secret. */
function expectRefusal(
  { exit, stderr }: Pick<Finished, 'exit' | 'stderr'>,
  settings: Readonly<Record<string, string>>,
): void {
  expect(exit).toBe(1)
  for (const setting of Object.keys(settings).filter(name => /KEY/.test(name)))
    expect(stderr).toContain(setting)
  for (const value of Object.values(settings).filter(text => text.length > 8)) {
    expect(stderr).not.toContain(value)
  }
}

describeUnless(reason, 'what is encrypted', () => {
  for (const [name] of keyedRoots) {
    test(`${name}: without the key wal-fetch fails and delivers nothing`, async () => {
      const { exit, stderr, bytes } = await fetchWal(path.join(root, name), encodings!.segment)
      expect({ exit, bytes }).toEqual({ exit: 1, bytes: undefined })
      expect(stderr).toContain(encodings!.segment)
    })
  }

  for (const [name, { settings }] of laterRoots) {
    test(`${name}: a key of a later piece is refused by wal-fetch`, async () => {
      const refused = await fetchWal(path.join(root, name), encodings!.segment, settings)
      expectRefusal(refused, settings)
      expect(refused.bytes).toBeUndefined()
    })

    test(`${name}: wal-push with a key of a later piece stores nothing, least of all plain data`, async () => {
      const repository = folder.at(`push-${name}`)
      mkdirSync(repository)
      const segment = path.join(root, 'none/wal_005', encodings!.segment)
      const env = { WALG_FILE_PREFIX: repository, WALG_PG_WAL_SIZE: '1', ...settings }
      expectRefusal(await runWalg(['wal-push', segment], { env }), settings)
      expect(readdirSync(repository)).toEqual([])
    })
  }

  for (const { fixture, settingsToRead } of reason === undefined ? backupFixtures().filter(needsKey) : []) {
    test(`${fixture}: without the key backup-fetch fails, with one of a later piece it is refused`, async () => {
      const repository = extractFixture(fixture, folder.path)
      const target = folder.at(`${fixture}.out`)
      const env = { WALG_FILE_PREFIX: repository, WALG_DOWNLOAD_FILE_RETRIES: '0' }
      if (!areAvailable(settingsToRead)) {
        const refused = await runWalg(['backup-fetch', target, 'LATEST'], {
          env: { ...env, ...settingsToRead },
        })
        expectRefusal(refused, settingsToRead)
        expect(existsSync(target)).toBe(false)
      }
      const withoutKey = await runWalg(['backup-fetch', target, 'LATEST'], { env })
      expect(withoutKey.exit).toBe(1)
      expect(withoutKey.stderr).toContain('tar_partitions/')
      expect(existsSync(path.join(target, 'PG_VERSION'))).toBe(false)
    })
  }
})
