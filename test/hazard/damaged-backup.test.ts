import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { compareTrees, readTree, withoutServerManifest } from '../interop/restored-tree.ts'
import { seededRandom } from '../support/seeded-random.ts'
import {
  copyRepository,
  errorsOf,
  looksComplete,
  openScene,
  PARTS,
  pushBackup,
  type Repository,
  type Scene,
} from './sample.ts'

let scene: Scene
let backup: string
let older: string

beforeAll(async () => {
  scene = await openScene()
  older = await pushBackup(scene)
  await scene.cluster.query('create table later as select g from generate_series(1, 100) g')
  backup = await pushBackup(scene)
  await scene.cluster.stop()
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

type Damage = (file: string) => void

const flip =
  (share: number): Damage =>
  file => {
    const bytes = readFileSync(file)
    const at = Math.min(bytes.length - 1, Math.floor(bytes.length * share))
    bytes[at]! ^= 0x10
    writeFileSync(file, bytes)
  }

const cutTo =
  (share: number): Damage =>
  file =>
    truncateSync(file, Math.floor(readFileSync(file).length * share))

/** The object of the same name out of the older backup; another part where that happens to hold the same files. */
const swapped: Damage = file => {
  const foreign = file.replace(backup, older)
  const isSame = readFileSync(foreign).equals(readFileSync(file))
  copyFileSync(isSame ? file.replace('part_001', 'part_002') : foreign, file)
}

const DAMAGES: Readonly<Record<string, Damage>> = {
  removed: file => rmSync(file),
  empty: file => truncateSync(file, 0),
  'cut in the middle': cutTo(0.5),
  'cut by one byte': file => truncateSync(file, readFileSync(file).length - 1),
  'with one bit flipped': flip(0.1 + seededRandom('flip').int(800) / 1000),
  'with trailing garbage': file =>
    writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(600, 7)])),
  'of the older backup': swapped,
}

/** A repository of its own with one object damaged. */
function damaged(
  object: string,
  damage: Damage,
  act: (repository: Repository, target: string) => Promise<void>,
) {
  const name = `damaged-${Math.random().toString(36).slice(2)}`
  const repository = copyRepository(scene.repository, scene.place.at(name))
  const file = object === 'sentinel' ? `${backup}_backup_stop_sentinel.json` : path.join(backup, object)
  damage(repository.backupPath(file))
  return act(repository, scene.place.at(`${name}-restored`)).finally(() => {
    rmSync(scene.place.at(name), { recursive: true })
    rmSync(scene.place.at(`${name}-restored`), { recursive: true, force: true })
  })
}

/** What is tried with which object: each way to be damaged at least once for a part, the telling ones for the others. */
const TRIALS: readonly (readonly [object: string, damages: readonly string[]])[] = [
  [`${PARTS}/part_001.tar.lz4`, Object.keys(DAMAGES)],
  [
    `${PARTS}/pg_control.tar.lz4`,
    ['removed', 'cut in the middle', 'with one bit flipped', 'of the older backup'],
  ],
  [`${PARTS}/backup_label.tar.lz4`, ['removed', 'empty', 'of the older backup']],
  [
    'content_manifest.jsonl.lz4',
    ['removed', 'cut by one byte', 'with one bit flipped', 'of the older backup'],
  ],
  ['files_metadata.json', ['of the older backup']],
]

describe('backup-fetch of a damaged backup fails, names the object, and leaves nothing that would start', () => {
  for (const [object, damages] of TRIALS) {
    for (const how of damages) {
      test(`${object} ${how}`, () =>
        damaged(object, DAMAGES[how]!, async (repository, target) => {
          const run = await repository.run(['backup-fetch', target, backup])
          expect(run.exit).toBe(1)
          // a list of files that lies is found out by the content manifest, or by a part that only it names
          const isList = object === 'files_metadata.json'
          expect(errorsOf(run)).toMatch(
            isList
              ? /files_metadata\.json|part .* is missing/
              : new RegExp(path.basename(object).replaceAll('.', '\\.')),
          )
          expect(looksComplete(target)).toBe(false)
        }))
    }
  }
})

test('without its list of files, or with half of it, a full backup is whole all the same: the content manifest lists them', async () => {
  const whole = scene.place.at('reference')
  expect((await scene.repository.run(['backup-fetch', whole, backup])).exit).toBe(0)
  const expected = withoutServerManifest(readTree(whole))
  for (const how of ['removed', 'cut in the middle']) {
    await damaged('files_metadata.json', DAMAGES[how]!, async (repository, target) => {
      const run = await repository.run(['backup-fetch', target, backup])
      expect(run.exit).toBe(0)
      expect(run.stderr).toContain('files_metadata.json')
      expect(compareTrees(expected, withoutServerManifest(readTree(target)))).toEqual([])
    })
  }
}, 60_000)

describe('a damaged sentinel', () => {
  for (const how of ['empty', 'cut in the middle', 'with trailing garbage']) {
    test(`${how}: its backup is not fetched, all others are; listing and pushing go on`, () =>
      damaged('sentinel', DAMAGES[how]!, async (repository, target) => {
        const run = await repository.run(['backup-fetch', target, backup])
        expect(run.exit).toBe(1)
        expect(errorsOf(run)).toContain(`${backup}_backup_stop_sentinel.json`)
        expect(looksComplete(target)).toBe(false)
        const list = await repository.run(['backup-list'])
        expect(list.stdout).toContain(older)
        expect(list.stdout + list.stderr).toContain(backup)
        const other = await repository.run(['backup-fetch', `${target}-other`, older])
        expect(other.exit).toBe(0)
        rmSync(`${target}-other`, { recursive: true })
        const push = await repository.run(['backup-push', scene.cluster.dataDirectory])
        expect([push.exit, push.stderr]).toEqual([0, expect.any(String)])
        const newest = repository.sentinels().at(-1)!
        expect(newest > backup).toBe(true)
        expect((await repository.run(['backup-fetch', target, 'LATEST'])).exit).toBe(0)
      }))
  }

  test('of another backup is refused: parts and sentinel must belong together', () =>
    damaged(
      'sentinel',
      file => copyFileSync(file.replace(backup, older), file),
      async (repository, target) => {
        const run = await repository.run(['backup-fetch', target, backup])
        expect(run.exit).toBe(1)
        expect(looksComplete(target)).toBe(false)
      },
    ))

  test('removed: the backup does not exist any more, as the error says', () =>
    damaged(
      'sentinel',
      file => rmSync(file),
      async (repository, target) => {
        const run = await repository.run(['backup-fetch', target, backup])
        expect(run.exit).toBe(1)
        expect(errorsOf(run)).toContain(`Backup '${backup}' does not exist`)
        expect((await repository.run(['backup-list'])).stdout).not.toContain(backup)
      },
    ))
})

test('damaged metadata.json changes nothing of what is restored, and backup-list says it', () =>
  damaged('metadata.json', cutTo(0.4), async (repository, target) => {
    expect((await repository.run(['backup-fetch', target, backup])).exit).toBe(0)
    const whole = scene.place.at('whole')
    expect((await scene.repository.run(['backup-fetch', whole, backup])).exit).toBe(0)
    expect(compareTrees(readTree(whole), readTree(target))).toEqual([])
    const list = await repository.run(['backup-list', '--detail'])
    expect(list.stdout + list.stderr).toContain(backup)
    expect(list.stderr).toContain('metadata.json')
  }))

test('two parts that changed places are noticed', () =>
  damaged(
    `${PARTS}/part_001.tar.lz4`,
    file => {
      const other = file.replace('part_001', 'part_002')
      renameSync(file, `${file}.x`)
      renameSync(other, file)
      renameSync(`${file}.x`, other)
      utimesSync(file, 1, 1)
    },
    async (repository, target) => {
      const run = await repository.run(['backup-fetch', target, backup])
      expect(run.exit).toBe(1)
      expect(errorsOf(run)).toMatch(/part_00[12]/)
      expect(looksComplete(target)).toBe(false)
    },
  ))

test('a stranger among the parts is named, and the backup is still restored', () =>
  damaged(
    `${PARTS}/part_001.tar.lz4`,
    file => copyFileSync(file, path.join(path.dirname(file), 'note.txt')),
    async (repository, target) => {
      const run = await repository.run(['backup-fetch', target, backup])
      expect(run.stderr).toContain('note.txt')
      expect(run.exit).toBe(0)
      expect(looksComplete(target)).toBe(true)
    },
  ))
