import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockCrew, createBlockCrew } from '../../../codec/block-crew.ts'
import type { CompressionName } from '../../../codec/codec.ts'
import { hasCode } from '../../../kit/errors.ts'
import { hashBytes } from '../../../kit/hash.ts'
import { createRateLimit, type RateLimit } from '../../../kit/limits.ts'
import { silentProgress } from '../../../kit/progress.ts'
import { DataEntryColumns } from '../../../postgres/walk/data-entries.ts'
import { toBackupName } from '../../../repository/backup-name.ts'
import type { StorageDescription } from '../../../storage/description.ts'
import type { NumberedPart, PackReport, PartsTask } from './pack-task.ts'
import { PackedFiles } from './packed-files.ts'
import { createPartControl, PartControl } from './part-control.ts'
import { PartWorkers } from './part-workers.ts'

setDefaultTimeout(60_000)

const backup = toBackupName('base_000000010000000000000002')
const folder = mkdtempSync(join(tmpdir(), 'part-workers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let places = 0

/** A tree of files with known content, and the task of packing it. */
class Scene {
  readonly root = join(folder, `place${places++}`)
  readonly data = join(this.root, 'data')
  readonly repository = join(this.root, 'repository')
  readonly entries = new DataEntryColumns()
  readonly contents = new Map<string, Buffer>()

  constructor() {
    mkdirSync(this.data, { recursive: true })
    mkdirSync(this.repository)
    this.entries.addPlace(this.data, '')
  }

  add(name: string, content: Buffer, walkedBytes: number = content.length): void {
    const path = join(this.data, name)
    writeFileSync(path, content)
    const { mode, uid, gid } = statSync(path)
    const { mtimeNs, ctimeNs } = statSync(path, { bigint: true })
    this.entries.add(0, name, { kind: 'file', sizeBytes: walkedBytes, mode, uid, gid, mtimeNs, ctimeNs })
    this.contents.set(`/${name}`, content)
  }

  task(workersCount: number, partBytesMax = 1 << 30): PartsTask {
    const header = { kind: 'directory', sizeBytes: 0, mode: 0o40700, uid: 0, gid: 0, mtimeNs: 0n } as const
    return {
      backup,
      control: createPartControl(workersCount),
      headers: [
        { ...header, name: '/' },
        { ...header, name: '/base' },
      ],
      partBytesMax,
      pageBytes: 8192,
      use: 'part',
      workersCount,
    }
  }

  describe(): StorageDescription {
    const driver = { kind: 'fs', root: this.repository, isDurable: true } as const
    return { name: 'default', driver, prefix: '', stallTimeoutMs: 30_000 }
  }

  /** Everything in the repository, temporaries included. */
  stored(): string[] {
    const names = readdirSync(this.repository, { recursive: true, encoding: 'utf8' })
    return names.filter(name => !statSync(join(this.repository, name)).isDirectory())
  }

  get partsFolder(): string {
    return join(this.repository, 'basebackups_005', backup, 'tar_partitions')
  }
}

interface PackedScene {
  readonly parts: readonly NumberedPart[]
  readonly files: PackedFiles
  readonly reports: readonly PackReport[]
}

async function pack(
  scene: Scene,
  options: {
    compression?: CompressionName
    workersCount?: number
    partBytesMax?: number
    signal?: AbortSignal
    stallTimeoutMs?: number
    stopGraceMs?: number
    diskLimit?: RateLimit
    networkLimit?: RateLimit
    onTask?: (task: PartsTask) => void
  } = {},
): Promise<PackedScene> {
  const workersCount = options.workersCount ?? 2
  const { diskLimit } = options
  const task = {
    ...scene.task(workersCount, options.partBytesMax),
    ...(diskLimit === undefined ? {} : { diskLimit }),
  }
  options.onTask?.(task)
  const codec = { compression: options.compression ?? 'none' }
  const { networkLimit } = options
  const storage = { ...scene.describe(), ...(networkLimit === undefined ? {} : { networkLimit }) }
  await using workers = new PartWorkers({ workersCount, storage, codec })
  const reports: PackReport[] = []
  const files = new PackedFiles(scene.entries, () => true)
  const parts = await workers.pack(task, files, {
    signal: options.signal ?? new AbortController().signal,
    progress: silentProgress,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
    ...(options.stopGraceMs === undefined ? {} : { stopGraceMs: options.stopGraceMs }),
    onReport: report => reports.push(report),
  })
  return { parts, files, reports }
}

/** Member names and contents of a tar, by system tar. */
function untar(path: string, decompress?: string): Map<string, string> {
  const into = mkdtempSync(join(folder, 'untar-'))
  const flags = decompress === undefined ? [] : [`--use-compress-program=${decompress}`]
  const run = spawnSync('tar', [...flags, '-xf', path, '-C', into], { encoding: 'utf8' })
  expect(run.status).toBe(0)
  const members = new Map<string, string>()
  for (const name of readdirSync(into, { recursive: true, encoding: 'utf8' })) {
    if (!statSync(join(into, name)).isFile()) continue
    members.set(
      `/${name}`,
      createHash('sha256')
        .update(readFileSync(join(into, name)))
        .digest('hex'),
    )
  }
  return members
}

const sha = (content: Buffer): string => createHash('sha256').update(content).digest('hex')
const bytes = (count: number, seed: number): Buffer => {
  const content = Buffer.alloc(count)
  for (let at = 0, state = seed; at < count; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    content[at] = (state >>> 16) & (at % 3 === 0 ? 0xff : 0x0f)
  }
  return content
}

describe('part workers', () => {
  for (const [compression, program] of [
    ['none', undefined],
    ['lz4', 'lz4'],
  ] as const) {
    test(`what they pack with ${compression} is read by tar, with the hashes they tell`, async () => {
      const scene = new Scene()
      scene.add('large', bytes(9_000_001, 1))
      scene.add('empty', Buffer.alloc(0))
      scene.add('page', bytes(8192, 2))
      for (let n = 0; n < 300; n++) scene.add(`small${n}`, bytes(n * 37, n))
      const { parts, files } = await pack(scene, { compression })
      const members = new Map<string, string>()
      for (const part of parts) {
        const path = join(scene.partsFolder, part.name)
        const stored = readFileSync(path)
        expect(part.storedBytes).toBe(stored.length)
        expect(part.storedHash).toBe(hashBytes(stored))
        for (const [name, hash] of untar(path, program)) members.set(name, hash)
      }
      expect(members.size).toBe(scene.contents.size)
      for (const index of files.indexes()) {
        const memberName = files.memberName(index)
        const content = scene.contents.get(memberName)!
        expect(members.get(memberName)).toBe(sha(content))
        expect(files.state(index)).toBe('packed')
        expect(files.hash(index)).toBe(hashBytes(content))
      }
      expect(parts.reduce((sum, part) => sum + part.contentBytes, 0)).toBe(
        [...scene.contents.values()].reduce((sum, content) => sum + content.length, 0),
      )
    })
  }

  test('idle workers compress blocks of the last large file, which come out in their order', async () => {
    const scene = new Scene()
    scene.add('large', bytes(70_000_001, 1))
    for (let n = 0; n < 20; n++) scene.add(`small${n}`, bytes(n * 37, n))
    const crew = createBlockCrew(3)
    const { parts } = await pack(scene, {
      compression: 'lz4',
      workersCount: 3,
      onTask: task => Object.assign(task, { crew }),
    })
    const members = new Map(parts.flatMap(part => [...untar(join(scene.partsFolder, part.name), 'lz4')]))
    for (const [name, content] of scene.contents) expect(members.get(name)).toBe(sha(content))
    expect(new BlockCrew(crew, () => {}).lentCount).toBeGreaterThan(4)
  })

  test('an abort reaches a worker that waits for a block and those that compress for it', async () => {
    const scene = new Scene()
    scene.add('large', bytes(100_000_000, 1))
    const crew = createBlockCrew(2)
    const controller = new AbortController()
    const work = pack(scene, {
      compression: 'lz4',
      signal: controller.signal,
      onTask: task => {
        Object.assign(task, { crew })
        const lent = new BlockCrew(crew, () => {})
        const timer = setInterval(() => {
          if (lent.lentCount === 0) return
          clearInterval(timer)
          controller.abort()
        }, 1)
      },
    })
    expect(hasCode(await work.catch(failure => failure), 'CANCELLED')).toBe(true)
    // the other may have stored the directories before
    for (const name of scene.stored())
      expect([...untar(join(scene.repository, name), 'lz4').keys()]).toEqual([])
  })

  test('zstd has threads of its own for a file that outlasts all others, and what they make is read by zstd', async () => {
    const scene = new Scene()
    scene.add('last', bytes(50_000_000, 1))
    scene.add('first', bytes(51_000_000, 2))
    for (let n = 0; n < 20; n++) scene.add(`small${n}`, bytes(n * 37, n))
    const { parts, files } = await pack(scene, { compression: 'zstd', workersCount: 2 })
    const members = new Map(parts.flatMap(part => [...untar(join(scene.partsFolder, part.name), 'zstd')]))
    for (const [name, content] of scene.contents) expect(members.get(name)).toBe(sha(content))
    for (const index of files.indexes())
      expect(files.hash(index)).toBe(hashBytes(scene.contents.get(files.memberName(index))!))
  })

  test('a part is closed when the next file would make it too large, and a file is never split', async () => {
    const scene = new Scene()
    for (let n = 0; n < 10; n++) scene.add(`f${n}`, bytes(100_000, n))
    scene.add('huge', bytes(2_000_000, 99))
    const { parts } = await pack(scene, { partBytesMax: 310_000 })
    expect(parts.length).toBeGreaterThanOrEqual(5)
    const counts = parts.map(part => untar(join(scene.partsFolder, part.name)).size)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(11)
    expect(Math.max(...counts)).toBeLessThanOrEqual(3)
    expect(parts.map(part => part.number)).toEqual(parts.map((_, index) => index + 1))
  })

  test('a part ends early when it holds more than all that is left, so that a restore has work for every thread', async () => {
    const scene = new Scene()
    scene.add('large', Buffer.alloc(70_000_000))
    scene.add('middle', Buffer.alloc(40_000_000))
    scene.add('small', Buffer.alloc(20_000_000))
    const { parts } = await pack(scene, { workersCount: 1 })
    const names = parts.map(part => [...untar(join(scene.partsFolder, part.name)).keys()].sort())
    expect(names).toEqual([['/large'], ['/middle', '/small']])
  })

  test('the directories are in the first part, also when there is no file at all', async () => {
    const scene = new Scene()
    const { parts } = await pack(scene)
    expect(parts.map(part => part.name)).toEqual(['part_001.tar'])
    const listing = spawnSync('tar', ['-Ptf', join(scene.partsFolder, 'part_001.tar')], { encoding: 'utf8' })
    expect(listing.stdout).toBe('/\n/base\n')
  })

  test('a file that has shrunk is filled up with zeroes, one that has grown is cut, one that is gone is reported', async () => {
    const scene = new Scene()
    scene.add('shrunk', bytes(5000, 1), 20_000)
    scene.add('grown', bytes(20_000, 2), 5000)
    scene.add('gone', bytes(100, 3))
    scene.add('there', bytes(100, 4))
    scene.add('shrunk large', bytes(4_000_000, 5), 7_000_000)
    rmSync(join(scene.data, 'gone'))
    const { parts, files } = await pack(scene, { workersCount: 1 })
    const members = untar(join(scene.partsFolder, parts[0]!.name))
    const filled = Buffer.concat([scene.contents.get('/shrunk')!, Buffer.alloc(15_000)])
    const filledLarge = Buffer.concat([scene.contents.get('/shrunk large')!, Buffer.alloc(3_000_000)])
    const cut = scene.contents.get('/grown')!.subarray(0, 5000)
    expect(members.get('/shrunk')).toBe(sha(filled))
    expect(members.get('/grown')).toBe(sha(cut))
    expect(members.get('/shrunk large')).toBe(sha(filledLarge))
    expect([...members.keys()].sort()).toEqual(['/grown', '/shrunk', '/shrunk large', '/there'])
    expect([0, 1, 2, 3].map(index => files.state(index))).toEqual(['packed', 'packed', 'vanished', 'packed'])
    expect(files.hash(0)).toBe(hashBytes(filled))
    expect(files.hash(1)).toBe(hashBytes(cut))
  })

  test('a file that cannot be read fails the push with its name, and no object of an open part remains', async () => {
    const scene = new Scene()
    scene.add('a', bytes(5_000_000, 1))
    scene.add('b', bytes(100, 1))
    // A directory in the place of a file opens, but cannot be read.
    rmSync(join(scene.data, 'b'))
    mkdirSync(join(scene.data, 'b'))
    const error = await pack(scene, { workersCount: 1 }).catch(failure => failure)
    expect(hasCode(error, 'FILE_ACCESS')).toBe(true)
    expect(error.message).toContain(join(scene.data, 'b'))
    expect(scene.stored()).toEqual([])
  })

  test('an abort stops all workers and leaves neither parts that were open nor temporaries', async () => {
    const scene = new Scene()
    for (let n = 0; n < 40; n++) scene.add(`f${n}`, bytes(1_000_000, n))
    const controller = new AbortController()
    const work = pack(scene, {
      signal: controller.signal,
      onTask: task => {
        const control = new PartControl(task.control)
        const timer = setInterval(() => {
          if (control.doneBytes === 0) return
          clearInterval(timer)
          controller.abort()
        }, 1)
      },
    })
    const error = await work.catch(failure => failure)
    expect(hasCode(error, 'CANCELLED')).toBe(true)
    expect(scene.stored()).toEqual([])
  })

  for (const kept of ['disk', 'network'] as const) {
    test(`an abort ends waiting for the rate of the ${kept}, in threads too, and leaves no temporary`, async () => {
      const scene = new Scene()
      for (let n = 0; n < 3; n++) scene.add(`f${n}`, bytes(300_000, n))
      const controller = new AbortController()
      setTimeout(() => controller.abort(), 300)
      // three hours
      const limit = createRateLimit(100)
      const { code } = await pack(scene, {
        signal: controller.signal,
        // a second one would have nothing but the directories, and might have stored them
        workersCount: 1,
        stopGraceMs: 30_000,
        ...(kept === 'disk' ? { diskLimit: limit } : { networkLimit: limit }),
      }).catch(failure => failure)
      expect([code, scene.stored()]).toEqual(['CANCELLED', []])
    })
  }

  test('a FIFO in the place of a file blocks nobody', async () => {
    const scene = new Scene()
    scene.add('pipe', bytes(10, 1))
    const path = join(scene.data, 'pipe')
    rmSync(path)
    expect(spawnSync('mkfifo', [path]).status).toBe(0)
    const { files } = await pack(scene, { workersCount: 1 })
    expect(files.state(0)).toBe('packed')
  })

  test('a worker without a sign of life ends the push, naming the file', async () => {
    const scene = new Scene()
    scene.add('slow', bytes(100_000, 1))
    const error = await pack(scene, {
      workersCount: 1,
      stallTimeoutMs: 300,
      stopGraceMs: 100,
      diskLimit: createRateLimit(1),
    }).catch(failure => failure)
    expect(hasCode(error, 'TIMEOUT')).toBe(true)
    expect(error.message).toContain(join(scene.data, 'slow'))
  })

  test('a rate limit holds for all workers together, and the bytes stay right', async () => {
    const scene = new Scene()
    for (let n = 0; n < 4; n++) scene.add(`f${n}`, bytes(300_000, n))
    const { parts } = await pack(scene, { diskLimit: createRateLimit(20_000_000) })
    const members = new Map(parts.flatMap(part => [...untar(join(scene.partsFolder, part.name))]))
    for (const [name, content] of scene.contents) expect(members.get(name)).toBe(sha(content))
  })

  test('a worker that dies ends the push', async () => {
    const scene = new Scene()
    scene.add('a', bytes(100, 1))
    const error = await pack(scene, { compression: 'no such method' as CompressionName }).catch(
      failure => failure,
    )
    expect(error).toBeInstanceOf(Error)
  })
})
