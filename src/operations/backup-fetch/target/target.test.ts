import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fs from 'node:fs'
import path from 'node:path'
import { FetchRig, FULL, fullBackup } from '../../../../test/support/fetch-rig.ts'
import { selectionOf } from '../../../repository/selector.ts'
import type { TablespaceSpec } from '../../../repository/tablespace-spec.ts'
import { planTablespaces, type TablespacePlan } from './tablespaces.ts'
import { TargetLocks } from './target-lock.ts'

let rig: FetchRig

beforeEach(async () => {
  rig = await FetchRig.open()
})
afterEach(() => rig.close())

describe('nothing is written outside', () => {
  test('a member with .. is refused', async () => {
    for (const name of ['/../escaped', '/base/../../escaped']) {
      rig.make({
        ...fullBackup,
        files: null,
        sentinel: { FilesMetadataDisabled: true },
        parts: { ...fullBackup.parts, 'part_009.tar': [{ name, content: 'x' }] },
      })
      expect((await rig.failure(rig.fetch({ destination: rig.folder.at('target') }))).code).toBe(
        'FORMAT_INVALID',
      )
      expect(fs.existsSync(rig.folder.at('escaped'))).toBe(false)
      fs.rmSync(rig.target, { recursive: true })
    }
  })

  test('a destination behind a link to nothing is said to be that', async () => {
    rig.make(fullBackup)
    const link = rig.folder.at('link')
    fs.symlinkSync('gone', link)
    for (const destination of [link, path.join(link, 'data')]) {
      const error = await rig.failure(rig.fetch({ destination }))
      expect([error.code, error.message]).toEqual([
        'TARGET_MISMATCH',
        `"${link}" is a symbolic link to "${rig.folder.at('gone')}", and there is nothing`,
      ])
      expect(fs.existsSync(rig.folder.at('gone'))).toBe(false)
    }
  })

  test('a link in the directory is not followed, not even when resuming', async () => {
    rig.make(fullBackup)
    fs.truncateSync(rig.stored('part_003.tar'), 200_000)
    await rig.failure(rig.fetch())
    rig.make(fullBackup)
    fs.rmSync(rig.restored('base/5'), { recursive: true })
    fs.mkdirSync(rig.folder.at('outside'))
    fs.symlinkSync(rig.folder.at('outside'), rig.restored('base/5'))
    expect((await rig.failure(rig.fetch({ isResume: true }))).code).toBe('TARGET_MISMATCH')
    expect(fs.readdirSync(rig.folder.at('outside'))).toEqual([])
  })

  test('a directory that is not empty is refused', async () => {
    rig.make(fullBackup)
    fs.mkdirSync(rig.target)
    fs.writeFileSync(rig.restored('precious'), 'x')
    const error = await rig.failure(rig.fetch())
    expect([error.code, error.message]).toEqual([
      'TARGET_NOT_EMPTY',
      `Directory ${rig.target} for delta base must be empty`,
    ])
    const resumed = await rig.failure(rig.fetch({ isResume: true }))
    expect([resumed.code, resumed.hint]).toEqual([
      'TARGET_NOT_EMPTY',
      expect.stringContaining('no interrupted backup-fetch is here'),
    ])
    expect(fs.readdirSync(rig.target)).toEqual(['precious'])
  })
})

describe('tablespaces', () => {
  function withTablespace(location: string, prefix = '/srv/made'): void {
    rig.make({
      ...fullBackup,
      parts: {
        ...fullBackup.parts,
        'part_008.tar': [{ name: '/pg_tblspc/16400/PG_15_202209061/5/1', content: 'ts' }],
      },
      sentinel: {
        Spec: {
          16400: { loc: location, link: 'pg_tblspc/16400' },
          base_prefix: prefix,
          tablespaces: ['16400'],
        },
      },
    })
  }

  test('go back to their places, with links in the restored directory', async () => {
    withTablespace(rig.folder.at('ts'))
    await rig.fetch()
    expect(fs.readlinkSync(rig.restored('pg_tblspc/16400'))).toBe(rig.folder.at('ts'))
    expect(fs.readFileSync(rig.folder.at('ts/PG_15_202209061/5/1'), 'utf8')).toBe('ts')
    expect(fs.statSync(rig.folder.at('ts')).mode & 0o7777).toBe(0o700)
    expect(fs.existsSync(rig.restored('tablespace_map'))).toBe(true)
  })

  test('are never written into a directory that is in use', async () => {
    fs.mkdirSync(rig.folder.at('ts'))
    fs.writeFileSync(rig.folder.at('ts/live'), 'x')
    withTablespace(rig.folder.at('ts'))
    const error = await rig.failure(rig.fetch())
    expect([error.code, error.hint]).toEqual(['TARGET_NOT_EMPTY', expect.stringContaining('--restore-spec')])
    expect(fs.existsSync(rig.target)).toBe(false)
    expect(fs.readdirSync(rig.folder.at('ts'))).toEqual(['live'])
  })

  test('are not written while another fetch writes into one, or into the directory itself', async () => {
    withTablespace(rig.folder.at('ts'))
    for (const taken of [rig.folder.at('ts'), rig.target]) {
      await using locks = new TargetLocks()
      await locks.take(taken)
      const error = await rig.failure(
        rig.fetch({ selection: selectionOf(taken === rig.target ? 'none' : FULL) }),
      )
      expect([error.code, error.message]).toEqual([
        'CLUSTER_STATE',
        expect.stringContaining(`another fetch is writing into "${taken}"`),
      ])
      expect(fs.readdirSync(rig.folder.path)).toEqual(['repository'])
    }
    await rig.fetch()
  })

  test('go elsewhere with a restore spec, without tablespace_map', async () => {
    withTablespace('/nonexistent/place')
    const restoreSpec = {
      basePrefix: rig.target,
      tablespaces: [{ oid: '16400', location: rig.folder.at('other'), link: 'pg_tblspc/16400' }],
    }
    await rig.fetch({ restoreSpec })
    expect(fs.readFileSync(rig.folder.at('other/PG_15_202209061/5/1'), 'utf8')).toBe('ts')
    expect(fs.existsSync(rig.restored('tablespace_map'))).toBe(false)
  })

  function withInner(...names: readonly string[]): void {
    const members = names.map(name => ({ name, content: 'ts' }))
    rig.make({
      ...fullBackup,
      parts: { ...fullBackup.parts, 'part_008.tar': members },
      sentinel: {
        Spec: {
          16400: { loc: '/srv/made/mine', link: 'pg_tblspc/16400' },
          base_prefix: '/srv/made',
          tablespaces: ['16400'],
        },
      },
    })
  }
  const specOf = (...locations: readonly string[]): TablespaceSpec => ({
    basePrefix: rig.target,
    tablespaces: locations.map(location => ({ oid: '16400', location, link: 'pg_tblspc/16400' })),
  })

  test('inside the data directory stay inside the restored one, also with a spec that says so or nothing', async () => {
    withInner('/mine/PG_15_202209061/5/1')
    for (const restoreSpec of [null, specOf(), specOf(rig.restored('mine')), specOf(`${rig.target}/mine/`)]) {
      await rig.fetch({ restoreSpec })
      expect(path.resolve(fs.readlinkSync(rig.restored('pg_tblspc/16400')))).toBe(rig.restored('mine'))
      expect(rig.read('pg_tblspc/16400/PG_15_202209061/5/1')).toBe('ts')
      expect(fs.existsSync(rig.restored('tablespace_map'))).toBe(false)
      fs.rmSync(rig.target, { recursive: true })
    }
  })

  test('inside the data directory go elsewhere only when the backup has them a second time', async () => {
    withInner('/mine/PG_15_202209061/5/1')
    const tablespaceMapping = [{ from: '/srv/made/mine', to: rig.folder.at('other') }]
    for (const options of [{ restoreSpec: specOf(rig.folder.at('other')) }, { tablespaceMapping }]) {
      const error = await rig.failure(rig.fetch(options))
      expect([error.code, error.hint]).toEqual(['USAGE', expect.stringContaining('in "mine"')])
      expect(fs.existsSync(rig.target)).toBe(false)
    }
    withInner('/mine/PG_15_202209061/5/1', '/pg_tblspc/16400/PG_15_202209061/5/1')
    await rig.fetch({ tablespaceMapping })
    expect(fs.readFileSync(rig.folder.at('other/PG_15_202209061/5/1'), 'utf8')).toBe('ts')
  })

  test('that a restore spec does not name are an error before anything is written', async () => {
    withTablespace('/nonexistent/place')
    const error = await rig.failure(rig.fetch({ restoreSpec: specOf() }))
    expect([error.code, error.message]).toEqual([
      'USAGE',
      'the restore spec does not say where tablespace 16400 goes',
    ])
    expect(fs.existsSync(rig.target)).toBe(false)
  })

  test('may lie within each other, in either order, but not in one directory', async () => {
    const plan = (...locations: readonly string[]): TablespacePlan => {
      const tablespaces = locations.map((location, index) => ({
        oid: String(16_400 + index),
        location,
        link: `pg_tblspc/${16_400 + index}`,
      }))
      return planTablespaces('/srv/made', { basePrefix: '/srv/made', tablespaces }, null)
    }
    expect(plan('/ts', '/ts/in').tablespaces.map(({ location }) => location)).toEqual(['/ts', '/ts/in'])
    expect(plan('/ts/in', '/ts').tablespaces.map(({ location }) => location)).toEqual(['/ts/in', '/ts'])
    expect(() => plan('/ts', '/other', '/ts/')).toThrow('would share')
  })

  test('are not moved into each other, unless they lay so', () => {
    const specOfTwo = (first: string, second: string): TablespaceSpec => ({
      basePrefix: '/srv/made',
      tablespaces: [first, second].map((location, index) => ({
        oid: String(16_400 + index),
        location,
        link: `pg_tblspc/${16_400 + index}`,
      })),
    })
    const places = ({ tablespaces }: TablespacePlan): string[] => tablespaces.map(({ location }) => location)
    const moved = (first: string, second: string, of = specOfTwo('/a', '/b')): string[] =>
      places(
        planTablespaces(
          '/srv/made',
          of,
          null,
          new Map([
            ['16400', first],
            ['16401', second],
          ]),
        ),
      )
    const told = '"pg_tblspc/16401" would lie in "/m/sub", within "/m" of "pg_tblspc/16400"'
    expect(() => moved('/m', '/m/sub')).toThrow(told)
    expect(() => moved('/m/sub', '/m')).toThrow('"pg_tblspc/16400" would lie in "/m/sub"')
    expect(moved('/m', '/mm')).toEqual(['/m', '/mm'])
    expect(moved('/m', '/m/sub', specOfTwo('/ts', '/ts/in'))).toEqual(['/m', '/m/sub'])
    expect(() => moved('/m/sub', '/m', specOfTwo('/ts', '/ts/in'))).toThrow('would lie in')
    const one = new Map([['16401', '/a/sub']])
    expect(() => planTablespaces('/srv/made', specOfTwo('/a', '/b'), null, one)).toThrow('within "/a"')
    const ofStandby = new Map([...one, ['16400', '/a']])
    expect(places(planTablespaces('/srv/made', specOfTwo('/a', '/b'), null, ofStandby, true))).toEqual([
      '/a',
      '/a/sub',
    ])
    const bySpec = (...to: readonly [string, string]): string[] =>
      places(planTablespaces('/srv/made', specOfTwo('/a', '/b'), specOfTwo(...to)))
    expect(() => bySpec('/m', '/m/sub')).toThrow(told)
    expect(bySpec('/m/x', '/m/y')).toEqual(['/m/x', '/m/y'])
  })

  test('are compared where they are, though a symbolic link in the path leads there', () => {
    const place = rig.folder.at('x')
    fs.mkdirSync(place)
    fs.symlinkSync(place, rig.folder.at('lnk'))
    fs.symlinkSync(rig.folder.path, rig.folder.at('around'))
    const [x, lnk] = [place, rig.folder.at('lnk')]
    const spec = (first: string, second: string): TablespaceSpec => ({
      basePrefix: '/srv/made',
      tablespaces: [first, second].map((location, index) => ({
        oid: String(16_400 + index),
        location,
        link: `pg_tblspc/${16_400 + index}`,
      })),
    })
    const before = spec('/a', '/b')
    const ways = [
      (first: string, second: string) => planTablespaces(rig.target, before, spec(first, second)),
      (first: string, second: string) => planTablespaces(rig.target, spec(first, second), null),
      (first: string, second: string) =>
        planTablespaces(
          rig.target,
          before,
          null,
          new Map([
            ['16400', first],
            ['16401', second],
          ]),
        ),
    ]
    for (const plan of ways) {
      expect(() => plan(`${x}/ts`, `${lnk}/ts`)).toThrow(
        `"pg_tblspc/16401" and "pg_tblspc/16400" would share "${lnk}/ts" (it is "${x}/ts") and "${x}/ts", the same directory`,
      )
      expect(() => plan(`${x}/ts`, `${lnk}/ts/in`)).toThrow(
        `"pg_tblspc/16401" would lie in "${lnk}/ts/in" (it is "${x}/ts/in"), within "${x}/ts" of "pg_tblspc/16400"`,
      )
      const inner = path.join(rig.folder.at('around'), path.basename(rig.target), 'base/5')
      expect(() => plan(inner, `${x}/ts`)).toThrow(
        `"${inner}" (it is "${rig.target}/base/5") of tablespace 16400 overlaps with "${rig.target}"`,
      )
      expect(plan(`${x}/ts`, `${lnk}/tt`).tablespaces.map(({ location }) => location)).toEqual([
        `${x}/ts`,
        `${lnk}/tt`,
      ])
    }
  })

  test('a mask that nothing matches is an error, and nothing is made', async () => {
    rig.make(fullBackup)
    for (const mask of ['nosuch*', '/global/*']) {
      const error = await rig.failure(rig.fetch({ mask }))
      expect([error.code, error.message]).toEqual(['BACKUP_NOT_FOUND', expect.stringContaining(`"${mask}"`)])
      expect(fs.existsSync(rig.target)).toBe(false)
    }
    expect((await rig.failure(rig.fetch({ mask: '[' }))).message).toContain('the mask "[" is not')
    await rig.fetch({ mask: 'global/*' })
    expect(fs.existsSync(rig.restored('global/pg_control'))).toBe(true)
  })

  test('that a restore spec puts at a file are refused before anything is made; one too many is a WARNING', async () => {
    withTablespace('/nonexistent/place')
    fs.writeFileSync(rig.folder.at('file'), '')
    const at = { oid: '16400', location: rig.folder.at('file'), link: 'pg_tblspc/16400' }
    const file = await rig.failure(rig.fetch({ restoreSpec: { basePrefix: rig.target, tablespaces: [at] } }))
    expect([file.code, file.message]).toEqual([
      'TARGET_MISMATCH',
      expect.stringContaining('is not a directory'),
    ])
    expect(fs.existsSync(rig.target)).toBe(false)
    const foreign = { oid: '16999', location: rig.folder.at('more'), link: 'pg_tblspc/16999' }
    const both = [{ ...at, location: rig.folder.at('other') }, foreign]
    await rig.fetch({ restoreSpec: { basePrefix: rig.target, tablespaces: both } })
    expect(rig.context.messages.filter(line => line.startsWith('WARNING'))).toEqual([
      'WARNING: the restore spec names tablespaces that the backup does not have: 16999',
    ])
  })

  test('that would climb out or overlap are refused', async () => {
    for (const [location, link] of [
      [rig.restored('inner'), 'pg_tblspc/16400'],
      [rig.folder.path, 'pg_tblspc/16400'],
      ['relative', 'pg_tblspc/16400'],
      [rig.folder.at('x'), '../16400'],
    ] as const) {
      withTablespace('/nonexistent/place')
      const restoreSpec = { basePrefix: rig.target, tablespaces: [{ oid: '16400', location, link }] }
      expect((await rig.failure(rig.fetch({ restoreSpec }))).code).toBe('USAGE')
    }
  })
})
