import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync } from 'node:fs'
import type { StorageDescription } from '../../src/storage/description.ts'
import { isTemporaryName } from '../../src/storage/keys.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { getBytes, patternBytes } from '../contract/storage-support.ts'
import type { FileFault } from '../doubles/instrumented-files.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { type FileRecording, recordFiles } from './file-recording.ts'
import { crashStates, diskBefore, materialize } from './power-loss.ts'

const OPEN_STORAGE = new URL('../../src/storage/open-storage.ts', import.meta.url).href
const THREAD = new URL('../../src/kit/thread.ts', import.meta.url).href
const SUPPORT = new URL('../contract/storage-support.ts', import.meta.url).href

/** A part's worker in small: opens the description, writes one object by its sink, says how it went. */
const PART_WORKER = `
  import { openStorage } from ${JSON.stringify(OPEN_STORAGE)}
  import { beWorkerThread } from ${JSON.stringify(THREAD)}
  beWorkerThread()
  import { patternBytes } from ${JSON.stringify(SUPPORT)}
  self.onmessage = async ({ data: { description, key, sizeBytes, seed } }) => {
    const storage = await openStorage(description)
    const sink = storage.openSink(key)
    try {
      const content = patternBytes(sizeBytes, seed)
      for (let at = 0; at < content.length; at += 50_000) sink.write(content.subarray(at, at + 50_000))
      await sink.end()
      postMessage('done')
    } catch (error) {
      await sink.abort()
      postMessage(error.code)
    }
  }`

interface Part {
  readonly key: string
  readonly sizeBytes: number
  readonly seed: number
}

async function putInWorker(description: StorageDescription, part: Part): Promise<string> {
  const url = URL.createObjectURL(new Blob([PART_WORKER], { type: 'application/typescript' }))
  const worker = new Worker(url)
  try {
    return await new Promise<string>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(String(data))
      worker.onerror = reject
      worker.postMessage({ description, ...part })
    })
  } finally {
    worker.terminate()
    URL.revokeObjectURL(url)
  }
}

function describeStorage(directory: TempDirectory, recording: FileRecording): StorageDescription {
  const root = directory.at('root')
  const driver = { kind: 'fs' as const, root, isDurable: true, systemModule: recording.systemModule }
  return { name: 'default', driver, prefix: '', stallTimeoutMs: 60_000 }
}

test('what two workers have acknowledged survives a power failure at any call of either', async () => {
  using directory = tempDirectory('power')
  const root = directory.at('root')
  mkdirSync(root)
  const before = diskBefore(root)
  const recording = recordFiles(directory.at('log'))
  const parts: Part[] = [1, 2].map(seed => ({ key: `base/parts/part_${seed}`, sizeBytes: 123_456, seed }))
  const description = describeStorage(directory, recording)
  await Promise.all(
    parts.map(async part => {
      expect(await putInWorker(description, part)).toBe('done')
      recording.acknowledge(part.key)
    }),
  )
  const contents = new Map(
    parts.map(part => [part.key, Buffer.from(patternBytes(part.sizeBytes, part.seed))]),
  )
  let last: Parameters<typeof materialize>[0] | undefined
  for (const state of crashStates(before, recording.read(), [root])) {
    for (const key of state.acknowledged) {
      expect(state.files.get(`${root}/${key}`)?.equals(contents.get(key) ?? Buffer.alloc(0))).toBe(true)
    }
    for (const [path, content] of state.files) {
      if (isTemporaryName(path)) continue
      expect(contents.get(path.slice(root.length + 1))?.equals(content)).toBe(true)
    }
    if (state.way === 'all lost') last = state
  }
  if (last === undefined) throw new Error('nothing was recorded')
  materialize(last, root, directory.at('after'))
  const after = await openStorage({
    ...description,
    driver: { kind: 'fs', root: directory.at('after'), isDurable: true },
  })
  for (const [key, content] of contents) {
    expect(Buffer.from(await getBytes(after, key)).equals(content)).toBe(true)
  }
})

const FAULTS: readonly { fault: FileFault; code: string }[] = [
  { fault: { call: 'fsync', path: '.tmp.', errno: 'EIO' }, code: 'STORAGE_UNAVAILABLE' },
  { fault: { call: 'write', errno: 'EIO', nth: 2 }, code: 'STORAGE_UNAVAILABLE' },
  { fault: { call: 'write', errno: 'ENOSPC', nth: 3 }, code: 'DISK_FULL' },
  { fault: { call: 'close', path: '.tmp.', errno: 'EDQUOT' }, code: 'DISK_FULL' },
  { fault: { call: 'write', bytesMax: 777, times: 1e9 }, code: 'done' },
]

for (const { fault, code } of FAULTS) {
  test(`a worker answers ${code} to ${fault.errno ?? 'short writes'} of ${fault.call}`, async () => {
    using directory = tempDirectory('power')
    mkdirSync(directory.at('root'))
    const recording = recordFiles(directory.at('log'), [fault])
    const description = describeStorage(directory, recording)
    const part = { key: 'base/parts/part_1', sizeBytes: 200_001, seed: 7 }
    expect(await putInWorker(description, part)).toBe(code)
    expect(recording.read().some(event => event.kind === 'fault')).toBe(true)
    const names = readdirSync(directory.at('root'), { recursive: true, encoding: 'utf8' })
    expect(names.filter(isTemporaryName)).toEqual([])
    if (code === 'done') {
      const storage = await openStorage(description)
      expect(await getBytes(storage, part.key)).toEqual(patternBytes(part.sizeBytes, part.seed))
    } else {
      expect(names).toEqual([])
    }
  })
}
