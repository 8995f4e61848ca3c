import { describe, expect, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { writeFileDurably } from '../../src/kit/atomic-file.ts'
import { replaceFileSystem } from '../../src/kit/file-system.ts'
import { openFsDriver } from '../../src/storage/drivers/fs.ts'
import { isTemporaryName } from '../../src/storage/keys.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { lentStream, patternBytes } from '../contract/storage-support.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { type FileRecording, recordFiles } from './file-recording.ts'
import { crashStates, type DiskBefore, diskBefore } from './power-loss.ts'

/** What was put under each key, in order; the acknowledged versions are labelled `key#version`. */
type History = Map<string, Buffer[]>

interface Scene {
  readonly storage: Storage
  readonly recording: FileRecording
  /** Puts by whatever way, and acknowledges. */
  put(
    key: string,
    content: Uint8Array,
    way: (key: string, content: Uint8Array) => Promise<void>,
  ): Promise<void>
}

const MODES = ['pooled', 'blocking'] as const

async function underPowerLoss(
  mode: 'pooled' | 'blocking',
  isDurable: boolean,
  work: (scene: Scene) => Promise<void>,
): Promise<string[]> {
  using directory = tempDirectory('power')
  const history: History = new Map()
  const { before, recording } = await play(directory, { mode, isDurable, history, work })
  return brokenPromises(before, recording, directory.at('root'), history)
}

async function play(
  directory: TempDirectory,
  scene: {
    mode: 'pooled' | 'blocking'
    isDurable: boolean
    history: History
    work: (scene: Scene) => Promise<void>
  },
): Promise<{ before: DiskBefore; recording: FileRecording }> {
  const root = directory.at('root')
  mkdirSync(root)
  const before = diskBefore(root)
  const recording = recordFiles(directory.at('log'))
  const { mode, isDurable, history } = scene
  const storage = await openFsDriver({ name: 'disk', root, isDurable, mode, system: recording.files })
  await scene.work({
    storage,
    recording,
    async put(key, content, way) {
      const versions = history.get(key) ?? []
      history.set(key, versions)
      versions.push(Buffer.from(content))
      const version = versions.length
      await way(key, content)
      recording.acknowledge(`${key}#${version}`)
    },
  })
  return { before, recording }
}

/** Says what an acknowledged object would have lost, and what is visible without being whole. */
function brokenPromises(
  before: DiskBefore,
  recording: FileRecording,
  root: string,
  history: History,
): string[] {
  const broken = new Set<string>()
  for (const state of crashStates(before, recording.read(), [root])) {
    for (const label of state.acknowledged) {
      const [key = '', version = ''] = label.split('#')
      const seen = state.files.get(`${root}/${key}`)
      const allowed = history.get(key)?.slice(Number(version) - 1) ?? []
      if (seen === undefined) broken.add(`${state.way}: ${label} is gone`)
      else if (!allowed.some(content => content.equals(seen))) broken.add(`${state.way}: ${label} is damaged`)
    }
    for (const [path, content] of state.files) {
      const key = path.slice(root.length + 1)
      if (isTemporaryName(key)) continue
      const isWhole = history.get(key)?.some(version => version.equals(content)) === true
      if (!isWhole) broken.add(`${state.way}: ${key} is visible and not whole`)
    }
  }
  return [...broken]
}

async function writeAll(scene: Scene): Promise<void> {
  const { storage } = scene
  const put = (key: string, content: Uint8Array): Promise<void> =>
    storage.put(key, lentStream(content, 10_000))
  const sink = async (key: string, content: Uint8Array): Promise<void> => {
    const opened = await storage.openSink(key)
    await opened.write(content.subarray(0, 20_000))
    await opened.write(content.subarray(20_000))
    await opened.end()
  }
  await scene.put('top', patternBytes(100, 1), put)
  await scene.put('base/backup/tar_partitions/part_001', patternBytes(55_555, 2), sink)
  await Promise.all([
    scene.put('base/backup/tar_partitions/part_002', patternBytes(44_444, 3), sink),
    scene.put('base/other/tar_partitions/part_001', patternBytes(33_333, 4), put),
  ])
  await scene.put('top', patternBytes(70_000, 5), sink)
  await scene.put('wal/conditional', patternBytes(30_000, 6), (key, content) =>
    storage.put(key, lentStream(content, 9_999), { ifAbsent: true }),
  )
  await scene.put('copies/of/part', patternBytes(55_555, 2), key =>
    storage.copy('base/backup/tar_partitions/part_001', key),
  )
}

describe('after a power failure at any call', () => {
  for (const mode of MODES) {
    test(`everything acknowledged is there, and nothing is visible in part (${mode})`, async () => {
      expect(await underPowerLoss(mode, true, writeAll)).toEqual([])
    })
  }

  test('objects put into a folder that another writer has just made are safe as well', async () => {
    using directory = tempDirectory('power')
    const history: History = new Map()
    const { before, recording } = await play(directory, {
      mode: 'pooled',
      isDurable: true,
      history,
      async work(scene) {
        // The other writer has got as far as creating the folders, and not yet to syncing them.
        await scene.recording.files.pooled.mkdir(directory.at('root', 'wal'))
        await scene.recording.files.pooled.mkdir(directory.at('root', 'wal', 'deeper'))
        await scene.put('wal/deeper/segment', patternBytes(1000), (key, content) =>
          scene.storage.put(key, lentStream(content, 100)),
        )
      },
    })
    expect(brokenPromises(before, recording, directory.at('root'), history)).toEqual([])
  })

  test('a delete that was answered stays deleted', async () => {
    using directory = tempDirectory('power')
    const { before, recording } = await play(directory, {
      mode: 'pooled',
      isDurable: true,
      history: new Map(),
      async work({ storage, recording: log }) {
        await storage.put('base/backup/part', lentStream(patternBytes(10), 10))
        await storage.put('base/sentinel', lentStream(patternBytes(10), 10))
        await storage.delete(['base/sentinel'])
        log.acknowledge('sentinel deleted')
        await storage.delete(['base/backup/part'])
        log.acknowledge('part deleted')
      },
    })
    const root = directory.at('root')
    for (const state of crashStates(before, recording.read(), [root])) {
      if (state.acknowledged.includes('sentinel deleted')) {
        expect(state.files.has(`${root}/base/sentinel`)).toBe(false)
      }
      if (state.acknowledged.includes('part deleted')) expect(state.files.size).toBe(0)
    }
  })

  test('the simulation finds the loss when nothing is synced', async () => {
    const broken = await underPowerLoss('blocking', false, writeAll)
    expect(broken).toContain('all lost: top#1 is gone')
    expect(broken.some(line => line.startsWith('content lost') && line.endsWith('not whole'))).toBe(true)
  })

  test('a local file written durably is whole or absent', async () => {
    using directory = tempDirectory('power')
    const before = diskBefore(directory.path)
    const recording = recordFiles(directory.at('log'))
    const restore = replaceFileSystem(recording.files)
    const contents = [patternBytes(5000, 1), patternBytes(7000, 2)].map(bytes => Buffer.from(bytes))
    try {
      for (const [n, content] of contents.entries()) {
        await writeFileDurably(directory.at('marker'), lentStream(content, 999))
        recording.acknowledge(String(n))
      }
    } finally {
      restore()
    }
    for (const state of crashStates(before, recording.read(), [directory.path])) {
      const seen = state.files.get(directory.at('marker'))
      const allowed = contents.slice(Math.max(0, state.acknowledged.length - 1))
      if (seen === undefined) expect(state.acknowledged).toEqual([])
      else expect(allowed.some(content => content.equals(seen))).toBe(true)
    }
  })
})

for (const skipped of ['fsync of the file', 'fsync of the folder', 'fsync of the folders above'] as const) {
  test(`the simulation notices when the ${skipped} is forgotten`, async () => {
    using directory = tempDirectory('power')
    const history: History = new Map()
    const { before, recording } = await play(directory, {
      mode: 'pooled',
      isDurable: true,
      history,
      async work(scene) {
        await scene.put('wal/segment', patternBytes(1000), (key, content) =>
          scene.storage.put(key, lentStream(content, 100)),
        )
      },
    })
    const root = directory.at('root')
    const isForgotten = (path: string): boolean => {
      if (skipped === 'fsync of the file') return isTemporaryName(path)
      return path === (skipped === 'fsync of the folder' ? `${root}/wal` : root)
    }
    const all = recording.read()
    const pathByFd = new Map<number, string>()
    const forgotten = new Set<string>()
    const paths = new Map<string, string>()
    for (const event of all) {
      if (event.kind === 'begin' && event.call === 'open') paths.set(event.id, String(event.args[0]))
      if (event.kind === 'end' && paths.has(event.id))
        pathByFd.set(Number(event.result), paths.get(event.id) ?? '')
      if (
        event.kind === 'begin' &&
        event.call === 'fsync' &&
        isForgotten(pathByFd.get(Number(event.args[0])) ?? '')
      ) {
        forgotten.add(event.id)
      }
    }
    expect(forgotten.size).toBeGreaterThan(0)
    const mutilated: FileRecording = {
      ...recording,
      read: () => all.filter(event => !('id' in event) || !forgotten.has(event.id)),
    }
    expect(brokenPromises(before, mutilated, root, history)).not.toEqual([])
  })
}
