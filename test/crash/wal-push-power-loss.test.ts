import { describe, expect, test } from 'bun:test'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { openCodec } from '../../src/codec/open-codec.ts'
import { collect, streamOf } from '../../src/kit/bytes.ts'
import { replaceFileSystem } from '../../src/kit/file-system.ts'
import { silentLogger } from '../../src/kit/log.ts'
import { silentProgress } from '../../src/kit/progress.ts'
import type { OperationContext } from '../../src/operations/context.ts'
import { walPush } from '../../src/operations/wal-push/wal-push.ts'
import type { StorageDescription } from '../../src/storage/description.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { type FileRecording, recordFiles } from './file-recording.ts'
import { type CrashState, crashStates, diskBefore } from './power-loss.ts'

const FILES = [segmentName(1), '00000001.history', segmentName(2)]

function contentOf(name: string): Uint8Array {
  return name.endsWith('.history') ? Buffer.from('1\t0/3000000\tno recovery target\n') : walBytes(name)
}

async function openContext(root: string, recording: FileRecording): Promise<OperationContext> {
  const storageDescription: StorageDescription = {
    name: 'default',
    driver: { kind: 'fs', root, isDurable: true, systemModule: recording.systemModule },
    prefix: '',
    stallTimeoutMs: 60_000,
  }
  const codecDescription = { compression: 'zstd' } as const
  return {
    storage: await openStorage(storageDescription),
    storageDescription,
    codec: openCodec(codecDescription),
    codecDescription,
    log: silentLogger,
    progress: silentProgress,
    signal: new AbortController().signal,
  }
}

/** Pushes `FILES` one after the other as the server would, acknowledging each; the first sends the others ahead. */
async function pushAll(wal: string, root: string, recording: FileRecording, filesMax: number): Promise<void> {
  const context = await openContext(root, recording)
  for (const name of FILES) {
    await walPush(context, {
      path: path.join(wal, name),
      dataDirectory: undefined,
      preventOverwrite: true,
      requireSystemIdentifier: false,
      metadata: 'NOMETADATA',
      filesMax,
      uploadConcurrency: 16,
      readyRename: false,
      recordsChanges: false,
    })
    recording.acknowledge(name)
    rmSync(path.join(wal, 'archive_status', `${name}.ready`), { force: true })
  }
  await context.storage.close()
}

async function isReadable(state: CrashState, root: string, name: string): Promise<boolean> {
  const stored = state.files.get(path.join(root, 'wal_005', `${name}.zst`))
  if (stored === undefined) return false
  try {
    const opened = openCodec({ compression: 'zstd' }).openStream('zst')(streamOf(stored))
    return Buffer.compare(await collect(opened, 64 << 20), contentOf(name)) === 0
  } catch {
    return false
  }
}

describe('after a power failure at any call of wal-push', () => {
  for (const [title, filesMax] of [
    ['one by one', 1],
    ['sent ahead and acknowledged from the record', 32],
  ] as const) {
    test(`every acknowledged file is in the archive, and every record speaks of a whole object (${title})`, async () => {
      using place = tempDirectory('wal-power')
      const wal = place.at('pg_wal')
      const root = place.at('archive')
      mkdirSync(path.join(wal, 'archive_status'), { recursive: true })
      mkdirSync(root)
      for (const name of FILES) {
        writeFileSync(path.join(wal, name), contentOf(name))
        writeFileSync(path.join(wal, 'archive_status', `${name}.ready`), '')
      }
      mkdirSync(path.join(wal, 'walg_data/walg_push_records'), { recursive: true })
      const before = diskBefore(wal, root)
      const recording = recordFiles(place.at('log'))
      const restore = replaceFileSystem(recording.files)
      try {
        await pushAll(wal, root, recording, filesMax)
      } finally {
        restore()
      }

      const broken = new Set<string>()
      const seen = new Map<string, boolean>()
      let states = 0
      for (const state of crashStates(before, recording.read(), [wal, root])) {
        states++
        const recorded = [...state.files]
          .filter(([file, content]) => file.endsWith('.record') && content.includes('"state":"stored"'))
          .map(([file]) => path.basename(file, '.record'))
        for (const name of new Set([...state.acknowledged, ...recorded])) {
          const stored = state.files.get(path.join(root, 'wal_005', `${name}.zst`))
          const mark = `${name}:${stored === undefined ? 'none' : Bun.hash(stored)}`
          if (!seen.has(mark)) seen.set(mark, await isReadable(state, root, name))
          if (seen.get(mark) !== true) broken.add(`${state.way}, call ${state.events}: ${name} is lost`)
        }
      }
      expect(states).toBeGreaterThan(50)
      expect([...broken]).toEqual([])
    }, 60_000)
  }
})
