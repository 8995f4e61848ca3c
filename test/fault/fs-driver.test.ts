import { describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync } from 'node:fs'
import { hasCode, WalgError } from '../../src/kit/errors.ts'
import type { FileCallName } from '../../src/kit/file-system.ts'
import { openFsDriver } from '../../src/storage/drivers/fs.ts'
import { isTemporaryName } from '../../src/storage/keys.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { expectCode, failureOf, getBytes, lentStream, patternBytes } from '../contract/storage-support.ts'
import { type FileFault, type InstrumentedFiles, instrumentFiles } from '../doubles/instrumented-files.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const CONTENT = patternBytes(100_003)
const CALLS: readonly FileCallName[] = [
  'open',
  'close',
  'write',
  'fsync',
  'realpath',
  'lstat',
  'mkdir',
  'rename',
  'link',
  'unlink',
  'reflink',
]
/** More calls of one name than any of the ways below makes. */
const NTH_MAX = 12

type Way = (storage: Storage, key: string) => Promise<void>

async function throughSink(storage: Storage, key: string): Promise<void> {
  const sink = await storage.openSink(key)
  try {
    await sink.write(CONTENT.subarray(0, 50_000))
    await sink.write(CONTENT.subarray(50_000))
  } catch (error) {
    await sink.abort()
    throw error
  }
  await sink.end()
}

const WAYS: Record<string, { mode: 'pooled' | 'blocking'; put: Way }> = {
  put: { mode: 'pooled', put: (storage, key) => storage.put(key, lentStream(CONTENT, 30_000)) },
  'the sink of the workers': { mode: 'blocking', put: throughSink },
  'the sink of the main thread': { mode: 'pooled', put: throughSink },
  'a conditional put': {
    mode: 'pooled',
    put: (storage, key) => storage.put(key, lentStream(CONTENT, 30_000), { ifAbsent: true }),
  },
  copy: { mode: 'pooled', put: (storage, key) => storage.copy('source', key) },
}

interface Scene {
  readonly storage: Storage
  readonly files: InstrumentedFiles
  readonly root: string
}

/** A driver with `faults` before it, over a root that has the object `source` already. */
async function withFaults<T>(
  mode: 'pooled' | 'blocking',
  faults: readonly FileFault[],
  body: (scene: Scene) => Promise<T>,
): Promise<T> {
  using directory = tempDirectory('faults')
  const root = directory.at('root')
  mkdirSync(root)
  const options = { name: 'disk', root, isDurable: true, mode }
  const sound = await openFsDriver(options)
  await sound.put('source', lentStream(CONTENT, 1 << 20))
  const files = instrumentFiles({ faults })
  const storage = await openFsDriver({ ...options, system: files })
  return await body({ storage, files, root })
}

function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()
}

describe('a file system that fails at any single call', () => {
  for (const [name, { mode, put }] of Object.entries(WAYS)) {
    for (const call of CALLS) {
      test(`${name}: an error of ${call} is either reported, leaving no part of an object, or harmless`, async () => {
        let struck = 0
        for (let nth = 1; nth <= NTH_MAX; nth++) {
          // The root is opened by two calls of its own: those are not under test here.
          const fault: FileFault = { call, nth, errno: 'EIO', path: 'root/' }
          await withFaults(mode, [fault], async ({ storage, files, root }) => {
            const failure = await put(storage, 'deep/er/object').then(
              () => undefined,
              error => error,
            )
            if (files.unconsumed().length > 0) {
              expect(failure).toBeUndefined()
              return
            }
            struck++
            if (failure !== undefined) {
              expect(failure).toBeInstanceOf(WalgError)
              expect(hasCode(failure, 'STORAGE_UNAVAILABLE')).toBe(true)
              expect((failure as WalgError).facts['storage']).toBe('disk')
            }
            expect(files.openPaths()).toEqual([])
            const seen = filesBelow(root)
            if (call !== 'unlink') expect(seen.filter(isTemporaryName)).toEqual([])
            const isVisible = seen.includes('deep/er/object')
            expect(isVisible || failure !== undefined).toBe(true)
            if (isVisible) expect(await getBytes(storage, 'deep/er/object')).toEqual(CONTENT)
            else if (call !== 'unlink') expect(seen).toEqual(['source'])
            await put(storage, 'deep/er/second')
            expect(await getBytes(storage, 'deep/er/second')).toEqual(CONTENT)
          })
        }
        const isUsed =
          call === 'link'
            ? name === 'a conditional put'
            : call === 'rename'
              ? name !== 'a conditional put'
              : call === 'reflink'
                ? name === 'copy'
                : call !== 'unlink'
        if (isUsed) expect(struck).toBeGreaterThan(0)
      })
    }

    test(`${name}: a content that cannot be synced is never given its name`, async () => {
      const fault: FileFault = { call: 'fsync', path: '.tmp.', errno: 'EIO' }
      await withFaults(mode, [fault], async ({ storage, files, root }) => {
        await expectCode(put(storage, 'object'), 'STORAGE_UNAVAILABLE')
        expect(files.unconsumed()).toEqual([])
        expect(filesBelow(root)).toEqual(['source'])
      })
    })

    test(`${name}: a full disk is DISK_FULL, and gets its space back`, async () => {
      for (const errno of ['ENOSPC', 'EDQUOT']) {
        for (const call of ['open', 'fsync', 'close'] as const) {
          const fault: FileFault = { call, path: '.tmp.', errno }
          await withFaults(mode, [fault], async ({ storage, root }) => {
            const error = await expectCode(put(storage, 'a/object'), 'DISK_FULL')
            expect(error.facts['key']).toBe('a/object')
            expect(error.hint).toBeDefined()
            expect(filesBelow(root)).toEqual(['source'])
          })
        }
      }
    })

    test(`${name}: interrupted calls and short writes are gone on with`, async () => {
      const faults: FileFault[] = [
        { call: 'write', bytesMax: 1, times: 5 },
        { call: 'write', errno: 'EINTR', nth: 2, times: 3 },
        { call: 'write', bytesMax: 1000, times: 1e9 },
        { call: 'open', errno: 'EINTR', times: 2 },
        { call: 'fsync', errno: 'EINTR', times: 2 },
        { call: 'read', errno: 'EINTR', nth: 2 },
      ]
      await withFaults(mode, faults, async ({ storage }) => {
        await put(storage, 'object')
        expect(await getBytes(storage, 'object')).toEqual(CONTENT)
      })
    })
  }
})

describe('the disk behind the page cache', () => {
  const cases = (['blocking', 'pooled'] as const).flatMap(mode => [3, 66].map(blocks => ({ mode, blocks })))
  for (const { mode, blocks } of cases) {
    test(`an error of the background sync fails the object of ${blocks} MiB, although the closing fsync is content (${mode})`, async () => {
      const fault: FileFault = { call: 'fdatasync', errno: 'EIO' }
      await withFaults(mode, [fault], async ({ storage, files, root }) => {
        const sink = await storage.openSink('a/object')
        const block = patternBytes(1 << 20)
        const writeAll = async (): Promise<void> => {
          for (let n = 0; n < blocks; n++) await sink.write(block)
          await sink.end()
        }
        await expectCode(writeAll(), 'STORAGE_UNAVAILABLE')
        await sink.abort()
        expect(files.unconsumed()).toEqual([])
        expect(files.openPaths()).toEqual([])
        expect(filesBelow(root)).toEqual(['source'])
      })
    })
  }

  test('a write that runs out of space in the middle leaves nothing', async () => {
    const faults: FileFault[] = [{ call: 'write', errno: 'ENOSPC', nth: 3 }]
    for (const mode of ['blocking', 'pooled'] as const) {
      await withFaults(mode, faults, async ({ storage, root }) => {
        const sink = await storage.openSink('a/object')
        const writeAll = async (): Promise<void> => {
          for (let n = 0; n < 5; n++) await sink.write(CONTENT)
        }
        await expectCode(writeAll(), 'DISK_FULL')
        await expectCode(async () => sink.end(), 'DISK_FULL')
        await sink.abort()
        expect(filesBelow(root)).toEqual(['source'])
      })
    }
  })

  test('a system that writes nothing and says nothing is not asked for ever', async () => {
    const faults: FileFault[] = [{ call: 'write', bytesMax: 0, times: 1e9 }]
    for (const mode of ['blocking', 'pooled'] as const) {
      await withFaults(mode, faults, async ({ storage }) => {
        await expectCode(throughSink(storage, 'object'), 'STORAGE_UNAVAILABLE')
      })
    }
  })
})

describe('conditional put on difficult file systems', () => {
  const put = (storage: Storage): Promise<void> =>
    storage.put('object', lentStream(CONTENT, 1 << 20), { ifAbsent: true })

  test('without hard links it is refused, not done in a way that is not atomic', async () => {
    for (const errno of ['EPERM', 'ENOTSUP', 'ENOSYS']) {
      await withFaults('pooled', [{ call: 'link', errno }], async ({ storage, root }) => {
        await expectCode(put(storage), 'FORMAT_UNSUPPORTED')
        expect(filesBelow(root)).toEqual(['source'])
      })
    }
  })

  test('without hard links a caller that may look first gets its object, and nobody loses one', async () => {
    const looking = (storage: Storage): Promise<void> =>
      storage.put('object', lentStream(CONTENT, 1 << 20), { ifAbsent: true, mayLookFirst: true })
    for (const mode of ['pooled', 'blocking'] as const) {
      await withFaults(mode, [{ call: 'link', errno: 'EPERM', times: 2 }], async ({ storage, root }) => {
        await looking(storage)
        expect(filesBelow(root)).toEqual(['object', 'source'])
        const late = await storage.openSink('late', { ifAbsent: true, mayLookFirst: true })
        await late.write(CONTENT)
        await storage.put('late', lentStream(CONTENT.subarray(0, 5), 5))
        await expectCode(Promise.resolve(late.end()), 'OBJECT_EXISTS')
        expect((await storage.stat('late')).sizeBytes).toBe(5)
        expect(filesBelow(root)).toEqual(['late', 'object', 'source'])
      })
    }
  })

  test('a link whose answer was lost on the way, and that then exists already, is our own', async () => {
    const fault: FileFault = { call: 'link', errno: 'EEXIST', isAnswerLost: true }
    await withFaults('pooled', [fault], async ({ storage, root }) => {
      await put(storage)
      expect(filesBelow(root)).toEqual(['object', 'source'])
    })
  })

  test('a link that really exists already is another writer’s', async () => {
    await withFaults('pooled', [{ call: 'link', errno: 'EEXIST' }], async ({ storage, root }) => {
      await expectCode(put(storage), 'OBJECT_EXISTS')
      expect(filesBelow(root)).toEqual(['source'])
    })
  })
})

describe('reading from a file system that fails', () => {
  test('an error in the middle reaches the reader, and nothing stays open', async () => {
    for (const mode of ['blocking', 'pooled'] as const) {
      const faults: FileFault[] = [{ call: 'read', errno: 'EIO', path: 'source' }]
      await withFaults(mode, faults, async ({ storage, files }) => {
        const error = await failureOf(getBytes(storage, 'source'))
        expect(hasCode(error, 'STORAGE_UNAVAILABLE')).toBe(true)
        expect(files.openPaths()).toEqual([])
      })
    }
  })

  test('an object that may not be read is ACCESS_DENIED with a hint, not missing', async () => {
    const faults: FileFault[] = [{ call: 'open', errno: 'EACCES', path: 'source' }]
    await withFaults('pooled', faults, async ({ storage }) => {
      const error = await expectCode(getBytes(storage, 'source'), 'ACCESS_DENIED')
      expect(error.hint).toBeDefined()
    })
  })

  test('a listing that fails is an error, never a shorter listing', async () => {
    for (const call of ['readdir', 'lstat'] as const) {
      await withFaults('pooled', [{ call, errno: 'EIO' }], async ({ storage }) => {
        const listAll = async (): Promise<void> => {
          for await (const _entry of storage.list('', { recursive: true })) {
            // counted elsewhere
          }
        }
        await expectCode(listAll(), 'STORAGE_UNAVAILABLE')
      })
    }
  })
})
