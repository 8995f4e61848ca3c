import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { errorsOf, PARTS, type Repository, repositoryAt } from './sample.ts'

const BACKUP = 'base_000000010000000000000002'
const CONTENT = 'escaped'

let place: TempDirectory

beforeAll(() => {
  place = tempDirectory('hostile')
  mkdirSync(place.at('outside'))
  writeFileSync(place.at('outside/keep'), 'untouched')
})
afterAll(() => place.remove())

interface Member {
  readonly name: string
  readonly kind?: 'file' | 'symlink' | 'hardlink' | 'directory'
  readonly target?: string
  /** Default CONTENT. */
  readonly content?: string
}

const LABEL = `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
CHECKPOINT LOCATION: 0/2000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 11:00:00 UTC
LABEL: by hand
START TIMELINE: 1
`

const KINDS = { file: '0', hardlink: '1', symlink: '2', directory: '5' } as const

/** A tar as anybody could write it, made by hand: no tool would put these names into one. */
function tarOf(members: readonly Member[]): Buffer {
  const blocks: Buffer[] = []
  for (const { name, kind = 'file', target = '', content: given = CONTENT } of members) {
    const content = kind === 'file' ? given : ''
    const header = Buffer.alloc(512)
    const put = (text: string, at: number): void => void header.write(text, at, 'latin1')
    put(name, 0)
    put('0000644\0', 100)
    put('0000000\0', 108)
    put('0000000\0', 116)
    put(`${content.length.toString(8).padStart(11, '0')}\0`, 124)
    put('15000000000\0', 136)
    put('        ', 148)
    put(KINDS[kind], 156)
    put(target, 157)
    put('ustar\x0000', 257)
    put(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    )
    const body = Buffer.alloc(Math.ceil(content.length / 512) * 512)
    body.write(content)
    blocks.push(header, body)
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

/** A backup of one part, with or without the list of its files. */
function repositoryOf(name: string, members: readonly Member[], hasList: boolean): Repository {
  const repository = repositoryAt(place.at(name))
  mkdirSync(repository.backupPath(BACKUP, PARTS), { recursive: true })
  const control = { name: '/global/pg_control' }
  writeFileSync(repository.backupPath(BACKUP, PARTS, 'part_001.tar'), tarOf(members))
  writeFileSync(repository.backupPath(BACKUP, PARTS, 'pg_control.tar'), tarOf([control]))
  writeFileSync(
    repository.backupPath(BACKUP, PARTS, 'backup_label.tar'),
    tarOf([{ name: 'backup_label', content: LABEL }]),
  )
  const files = members.filter(({ kind = 'file' }) => kind === 'file')
  const entry = { IsIncremented: false, IsSkipped: false, MTime: '2026-11-22T11:00:00Z', UpdatesCount: 0 }
  if (hasList) {
    const document = { Files: Object.fromEntries(files.map(file => [file.name, entry])), TarFileSets: {} }
    writeFileSync(repository.backupPath(BACKUP, 'files_metadata.json'), JSON.stringify(document))
  }
  const sentinel = {
    LSN: 33554472,
    PgVersion: 170010,
    FinishLSN: 33554720,
    SystemIdentifier: 77109,
    UncompressedSize: (files.length + 1) * CONTENT.length + LABEL.length,
    CompressedSize: 4096,
    DataCatalogSize: 4096,
    ...(hasList ? {} : { FilesMetadataDisabled: true }),
    Version: 2,
    StartTime: '2026-11-22T11:00:00Z',
    FinishTime: '2026-11-22T11:00:01Z',
    DateFmt: '%Y-%m-%dT%H:%M:%S.%fZ',
    Hostname: 'h',
    DataDir: '/data',
    IsPermanent: false,
  }
  writeFileSync(repository.backupPath(`${BACKUP}_backup_stop_sentinel.json`), JSON.stringify(sentinel))
  return repository
}

function expectNothingOutside(target: string): void {
  expect(readdirSync(place.at('outside'))).toEqual(['keep'])
  expect(readFileSync(place.at('outside/keep'), 'utf8')).toBe('untouched')
  const around = readdirSync(path.dirname(target)).filter(name => name.startsWith('escape'))
  expect(around).toEqual([])
  expect(existsSync('/escape-from-wal-g')).toBe(false)
}

let serial = 0

/** Fetches; whatever the members were, nothing may have happened outside. */
async function fetchOf(members: readonly Member[], hasList: boolean) {
  const number = serial++
  const repository = repositoryOf(`repository-${number}`, members, hasList)
  const target = place.at(`target-${number}/data`)
  mkdirSync(path.dirname(target))
  const run = await repository.run(['backup-fetch', target, BACKUP])
  expectNothingOutside(target)
  return { ...run, target }
}

for (const hasList of [false, true]) {
  describe(`a part that was tampered with, ${hasList ? 'its names in the list of files' : 'without a list of files'}`, () => {
    test('the made-up backup itself is restored', async () => {
      const run = await fetchOf([{ name: '/base/1/1259' }, { name: '/PG_VERSION' }], hasList)
      expect([run.exit, errorsOf(run)]).toEqual([0, expect.any(String)])
      expect(readFileSync(path.join(run.target, 'base/1/1259'), 'utf8')).toBe(CONTENT)
    })

    for (const name of [
      '/../escape',
      '../escape',
      'base/../../escape',
      '/base/1/../../../escape',
      '..',
      './../escape',
    ]) {
      test(`"${name}" is refused`, async () => {
        const run = await fetchOf([{ name: '/PG_VERSION' }, { name }], hasList)
        expect(run.exit).toBe(1)
        expect(errorsOf(run)).toContain('..')
        expect(existsSync(path.join(run.target, 'global/pg_control'))).toBe(false)
      })
    }

    test('an absolute name lies below the target', async () => {
      const run = await fetchOf([{ name: '/PG_VERSION' }, { name: '//escape-from-wal-g' }], hasList)
      expect(run.exit).toBe(0)
      expect(readFileSync(path.join(run.target, 'escape-from-wal-g'), 'utf8')).toBe(CONTENT)
    })

    test('a link is not made, so nothing can be written through it', async () => {
      const outside = place.at('outside')
      const run = await fetchOf(
        [
          { name: '/PG_VERSION' },
          { name: '/way', kind: 'symlink', target: outside },
          { name: '/way/pwned' },
          { name: '/up', kind: 'symlink', target: '../..' },
          { name: '/up/escape' },
          { name: '/hard', kind: 'hardlink', target: path.join(outside, 'keep') },
        ],
        hasList,
      )
      expect(run.stderr).toMatch(/way/)
      expect(readFileSync(path.join(run.target, 'way/pwned'), 'utf8')).toBe(CONTENT)
    })

    test('a file that turns up again as a directory of another is an error, not a half', async () => {
      const run = await fetchOf([{ name: '/PG_VERSION' }, { name: '/PG_VERSION/inner' }], hasList)
      expect(run.exit).toBe(1)
      expect(existsSync(path.join(run.target, 'global/pg_control'))).toBe(false)
    })
  })
}
