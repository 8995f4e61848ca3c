import { describe, expect, test } from 'bun:test'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import {
  expectCode,
  getText,
  lentStream,
  listAll,
  patternBytes,
  putText,
} from '../../../test/contract/storage-support.ts'
import { instrumentFiles } from '../../../test/doubles/instrumented-files.ts'
import { testUnless } from '../../../test/support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { temporarySuffix, temporaryTimeMs } from '../keys.ts'
import type { Storage } from '../storage.ts'
import { type FsDriverOptions, openFsDriver } from './fs.ts'

const DAY_MS = 24 * 60 * 60 * 1000

async function openIn(directory: TempDirectory, options: Partial<FsDriverOptions> = {}): Promise<Storage> {
  if (!existsSync(directory.at('root'))) mkdirSync(directory.at('root'))
  return openFsDriver({ name: 'disk', root: directory.at('root'), isDurable: false, ...options })
}

describe('the root', () => {
  test('a root that is missing, or is a file, is STORAGE_ROOT_MISSING with a hint, and is not created', async () => {
    using directory = tempDirectory('fs')
    writeFileSync(directory.at('file'), '')
    for (const name of ['missing', 'missing/deeper', 'file', 'file/below']) {
      const opened = openFsDriver({ name: 'disk', root: directory.at(name), isDurable: true })
      const error = await expectCode(opened, 'STORAGE_ROOT_MISSING')
      expect(error.message).toContain(directory.at(name))
      expect(error.hint).toBeDefined()
    }
    expect(readdirSync(directory.path)).toEqual(['file'])
  })

  test('a root that goes away is never taken for an empty storage, and never made again', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    rmSync(directory.at('root'), { recursive: true })
    const uses: (() => Promise<unknown>)[] = [
      () => storage.checkRoot(),
      () => storage.stat('a/b'),
      () => storage.get('a/b'),
      () => listAll(storage, ''),
      () => listAll(storage, 'a'),
      () => putText(storage, 'a/b', 'x'),
      () => putText(storage, 'a', 'x'),
      () => storage.copy('a', 'b'),
      () => storage.delete(['a/b']),
      async () => storage.openSource('a/b'),
      async () => storage.openSink('a/b'),
    ]
    for (const use of uses) await expectCode(use(), 'STORAGE_ROOT_MISSING')
    expect(existsSync(directory.at('root'))).toBe(false)
  })

  test('a root may itself be a symbolic link', async () => {
    using directory = tempDirectory('fs')
    mkdirSync(directory.at('real'))
    symlinkSync('real', directory.at('root'))
    const storage = await openIn(directory)
    await putText(storage, 'a/b', 'x')
    expect(await getText(storage, 'a/b')).toBe('x')
    expect(readdirSync(directory.at('real'))).toEqual(['a'])
  })
})

describe('symbolic links', () => {
  test('a folder of the root may be a link to another disk: it is read, written, listed and cleared like any other', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    mkdirSync(directory.at('disk'))
    symlinkSync('../disk', directory.at('root', 'wal_005'))
    await putText(storage, 'wal_005/segment', 'content')
    await putText(storage, 'wal_005/deep/er', 'content')
    expect(readdirSync(directory.at('disk')).sort()).toEqual(['deep', 'segment'])
    const again = await openIn(directory)
    expect(await getText(again, 'wal_005/segment')).toBe('content')
    expect((await listAll(again, '', true)).map(entry => entry.key)).toEqual([
      'wal_005/deep/er',
      'wal_005/segment',
    ])
    await again.delete(['wal_005/deep/er', 'wal_005/segment'])
    expect(readdirSync(directory.at('disk'))).toEqual([])
    expect(readdirSync(directory.at('root'))).toEqual(['wal_005'])
  })

  test('any other link that leads out of the root is refused, whatever is done with it', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    mkdirSync(directory.at('outside'))
    writeFileSync(directory.at('outside', 'secret'), 'secret')
    mkdirSync(directory.at('disk'))
    symlinkSync('../disk', directory.at('root', 'annex'))
    symlinkSync('../outside', directory.at('disk', 'door'))
    mkdirSync(directory.at('root', 'real'))
    symlinkSync('../../outside', directory.at('root', 'real', 'door'))
    symlinkSync('../outside/secret', directory.at('root', 'window'))
    mkdirSync(`${directory.at('root')}-suffix`)
    symlinkSync(`${directory.at('root')}-suffix`, directory.at('root', 'real', 'twin'))
    symlinkSync('..', directory.at('root', 'up'))
    symlinkSync('/', directory.at('root', 'top'))
    const uses: (() => Promise<unknown>)[] = [
      () => storage.stat('real/door/secret'),
      () => storage.stat('annex/door/secret'),
      () => storage.stat('up/outside/secret'),
      () => storage.stat('top/etc/passwd'),
      () => storage.get('real/door/secret'),
      () => storage.get('window'),
      () => listAll(storage, 'real/door'),
      () => listAll(storage, 'up'),
      () => putText(storage, 'annex/door/new', 'x'),
      () => putText(storage, 'real/door/new/deeper', 'x'),
      () => putText(storage, 'up/outside/new', 'x'),
      () => putText(storage, 'real/twin/new', 'x'),
      () => storage.copy('window', 'copy'),
      () => storage.delete(['real/door/secret']),
      async () => storage.openSink('real/door/new'),
      async () => storage.openSource('window'),
    ]
    for (const use of uses) await expectCode(use(), 'KEY_REFUSED')
    expect(await listAll(storage, '', true)).toEqual([])
    expect(readdirSync(directory.at('outside'))).toEqual(['secret'])
  })

  test('a link inside the root is followed, a put replaces it, a loop ends', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    await putText(storage, 'real/object', 'content')
    symlinkSync('real', directory.at('root', 'alias'))
    symlinkSync('../real', directory.at('root', 'real', 'loop'))
    symlinkSync('nowhere', directory.at('root', 'dangling'))
    symlinkSync('real/object', directory.at('root', 'second'))
    expect(await getText(storage, 'alias/object')).toBe('content')
    expect(await getText(storage, 'second')).toBe('content')
    const keys = (await listAll(storage, '', true)).map(entry => entry.key)
    expect(keys).toEqual(['alias/object', 'real/object', 'second'])
    await putText(storage, 'second', 'own')
    expect(await getText(storage, 'real/object')).toBe('content')
    await storage.delete(['dangling'])
    expect(existsSync(directory.at('root', 'dangling'))).toBe(false)
  })
})

describe('what lies in the folder', () => {
  test('sockets, FIFOs and devices are not objects, and nobody waits for their other end', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    execFileSync('mkfifo', [directory.at('root', 'fifo')])
    await expectCode(storage.stat('fifo'), 'OBJECT_NOT_FOUND')
    await expectCode(storage.get('fifo'), 'OBJECT_NOT_FOUND')
    await expectCode(async () => storage.openSource('fifo'), 'OBJECT_NOT_FOUND')
    expect(await listAll(storage, '')).toEqual([])
    await storage.delete(['fifo'])
    expect(existsSync(directory.at('root', 'fifo'))).toBe(true)
  })

  test('times are exact to the nanosecond', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    await putText(storage, 'object', 'x')
    execFileSync('touch', ['-d', '2026-11-22T11:30:15.123456789Z', directory.at('root', 'object')])
    const { modifiedNs } = await storage.stat('object')
    expect(modifiedNs).toBe(BigInt(Date.parse('2026-11-22T11:30:15Z')) * 1_000_000n + 123_456_789n)
  })

  test('the umask decides the modes, as with the original', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    for (const [umask, file, folder] of [
      [0o022, 0o644, 0o755],
      [0o077, 0o600, 0o700],
    ] as const) {
      const before = process.umask(umask)
      try {
        await putText(storage, `${umask}/object`, 'x')
        await storage.copy(`${umask}/object`, `${umask}/copy`)
      } finally {
        process.umask(before)
      }
      expect(statSync(directory.at('root', `${umask}`)).mode & 0o777).toBe(folder)
      for (const name of ['object', 'copy']) {
        expect(statSync(directory.at('root', `${umask}`, name)).mode & 0o777).toBe(file)
      }
    }
  })

  test('a name that leaves no room for the temporary’s suffix is refused, not half stored', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    await expectCode(putText(storage, `a/${'n'.repeat(250)}`, 'x'), 'KEY_REFUSED')
    expect(readdirSync(directory.at('root'))).toEqual([])
    await expectCode(storage.stat('n'.repeat(300)), 'OBJECT_NOT_FOUND')
    await storage.delete(['n'.repeat(300)])
    expect(await listAll(storage, 'n'.repeat(300))).toEqual([])
  })

  const asRoot = process.getuid?.() === 0 ? 'root may do everything' : undefined
  testUnless(asRoot, 'a folder without permission is ACCESS_DENIED', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    await putText(storage, 'a/b', 'x')
    chmodSync(directory.at('root', 'a'), 0)
    for (const work of [storage.stat('a/b'), putText(storage, 'a/c', 'x'), listAll(storage, 'a')]) {
      await expectCode(work, 'ACCESS_DENIED')
    }
    chmodSync(directory.at('root', 'a'), 0o755)
  })
})

describe('emptied folders', () => {
  test('delete removes the folders it emptied, up to the root, and no others', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory, { isDurable: true })
    for (const key of ['a/b/c/1', 'a/b/c/2', 'a/x', 'd/e/f']) await putText(storage, key, key)
    mkdirSync(directory.at('root', 'made', 'by', 'somebody'), { recursive: true })
    await storage.delete(['a/b/c/1'])
    expect(existsSync(directory.at('root', 'a', 'b', 'c'))).toBe(true)
    await storage.delete(['a/b/c/2', 'd/e/f'])
    expect(readdirSync(directory.at('root')).sort()).toEqual(['a', 'made'])
    expect(readdirSync(directory.at('root', 'a'))).toEqual(['x'])
    await storage.delete(['a/x', 'made/by/nothing'])
    expect(readdirSync(directory.at('root'))).toEqual(['made'])
  })
})

describe('a link that leads nowhere, as to a disk that is not mounted', () => {
  test('is no absence of what may lie behind it', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    symlinkSync(directory.at('disk'), directory.at('root', 'wal_005'))
    symlinkSync(directory.at('disk', 'one'), directory.at('root', 'one'))
    for (const key of ['wal_005/x', 'wal_005/a/b', 'one']) {
      await expectCode(storage.stat(key), 'STORAGE_UNAVAILABLE')
      await expectCode(storage.get(key), 'STORAGE_UNAVAILABLE')
    }
    await expectCode(listAll(storage, 'wal_005', true), 'STORAGE_UNAVAILABLE')
    await expectCode(storage.delete(['wal_005/x']), 'STORAGE_UNAVAILABLE')
    mkdirSync(directory.at('disk'))
    await expectCode(storage.stat('wal_005/x'), 'OBJECT_NOT_FOUND')
    await putText(storage, 'wal_005/x', 'x')
    expect(await listAll(storage, 'wal_005', true)).toMatchObject([{ key: 'wal_005/x' }])
  })
})

describe('temporaries', () => {
  const old = (name: string): string => `${name}.tmp.20200101T000000Z-0123456789abcdef`

  function age(path: string, ageMs: number): void {
    const time = new Date(Date.now() - ageMs)
    utimesSync(path, time, time)
  }

  test('have the form that the original hides, and are hidden here', async () => {
    expect(temporarySuffix(Date.UTC(2026, 10, 22, 10, 11, 12, 345))).toMatch(
      /^\.tmp\.20261122T101112Z-[0-9a-f]{16}$/,
    )
    expect(temporaryTimeMs(`x${temporarySuffix(1_700_000_000_000)}`)).toBe(1_700_000_000_000)
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    writeFileSync(directory.at('root', old('object')), 'x')
    expect(await listAll(storage, '', true)).toEqual([])
    await expectCode(storage.get(old('object')), 'KEY_REFUSED')
  })

  test('lie beside their object while it is written', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    const sink = await storage.openSink('a/object')
    await sink.write(patternBytes(10))
    expect(readdirSync(directory.at('root', 'a'))[0]).toMatch(/^object\.tmp\.\d{8}T\d{6}Z-[0-9a-f]{16}$/)
    await sink.end()
    expect(readdirSync(directory.at('root', 'a'))).toEqual(['object'])
  })

  test('that are a day old by name and by their last change are removed where objects are put', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory, { sweepOneIn: 1 })
    mkdirSync(directory.at('root', 'a', old('folder')), { recursive: true })
    mkdirSync(directory.at('root', 'b'))
    const young = `young${temporarySuffix()}`
    const names = [old('stale'), old('busy'), young, 'object.tmp.20200101T000000Z-0123', 'notes.tmp']
    for (const name of names) {
      writeFileSync(directory.at('root', 'a', name), 'x')
      age(directory.at('root', 'a', name), 2 * DAY_MS)
    }
    age(directory.at('root', 'a', old('busy')), DAY_MS / 2)
    writeFileSync(directory.at('root', 'b', old('elsewhere')), 'x')
    age(directory.at('root', 'b', old('elsewhere')), 2 * DAY_MS)
    await storage.put('a/object', lentStream(patternBytes(10), 10))
    const left = [...names.filter(name => name !== old('stale')), old('folder'), 'object'].sort()
    expect(readdirSync(directory.at('root', 'a')).sort()).toEqual(left)
    expect(readdirSync(directory.at('root', 'b'))).toEqual([old('elsewhere')])
  })

  test('that are stale do not keep an emptied folder; others do', async () => {
    using directory = tempDirectory('fs')
    const storage = await openIn(directory)
    for (const key of ['gone/object', 'kept/object']) await putText(storage, key, 'x')
    writeFileSync(directory.at('root', 'gone', old('stale')), 'x')
    age(directory.at('root', 'gone', old('stale')), 2 * DAY_MS)
    const running = await storage.openSink('kept/other')
    await storage.delete(['gone/object', 'kept/object'])
    expect(readdirSync(directory.at('root'))).toEqual(['kept'])
    await running.end()
    expect(await getText(storage, 'kept/other')).toBe('')
  })

  test('that are stale are looked for once, not with each of many deletes; the folder goes with its last object', async () => {
    using directory = tempDirectory('fs')
    const system = instrumentFiles({})
    const storage = await openIn(directory, { system })
    const keys = Array.from({ length: 9 }, (_, number) => `wal/${number}`)
    for (const key of keys) await putText(storage, key, 'x')
    const stale = directory.at('root', 'wal', old('stale'))
    for (const key of keys.slice(0, 5)) await storage.delete([key])
    writeFileSync(stale, 'x')
    age(stale, 2 * DAY_MS)
    const readBefore = system.counts.get('readdir')
    for (const key of keys.slice(5, 8)) await storage.delete([key])
    expect(system.counts.get('readdir')).toBe(readBefore)
    await storage.delete(keys.slice(8))
    expect(readdirSync(directory.at('root'))).toEqual([])
  })
})
