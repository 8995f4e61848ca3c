import { afterEach, expect, test } from 'bun:test'
import fs from 'node:fs'
import { seededRandom } from '../../../../test/support/seeded-random.ts'
import { tempDirectory } from '../../../../test/support/temp-directory.ts'
import { type FileCalls, nodeFileSystem, replaceFileSystem } from '../../../kit/file-system.ts'
import { createLinearMemory } from '../../../kit/linear-memory.ts'
import { Flusher } from './flusher.ts'
import { hasDirectWrites, Staging } from './staging.ts'
import { TargetFile } from './target-file.ts'

const { O_DIRECT } = fs.constants
const SIZES = [1, 4095, 4096, 8192, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 * (1 << 20) + 8192, 2_500_123]

let restore = (): void => {}
afterEach(() => restore())

/** What the thread does with files, with `calls` in place of some; tells the flags of every `open` and the length of every write. */
function watch(calls: Partial<FileCalls> = {}) {
  const flags: number[] = []
  const writes: number[] = []
  const blocking: FileCalls = {
    ...nodeFileSystem.blocking,
    ...calls,
    open(path, given, mode) {
      flags.push(given)
      return (calls.open ?? nodeFileSystem.blocking.open)(path, given, mode)
    },
    write(fd, bytes, offset, lengthBytes) {
      writes.push(lengthBytes)
      return (calls.write ?? nodeFileSystem.blocking.write)(fd, bytes, offset, lengthBytes)
    },
  }
  restore = replaceFileSystem({ ...nodeFileSystem, blocking })
  return { flags, writes }
}

/** Writes `content` in pieces of any length; returns the file as it is then. */
async function writeFile(path: string, content: Uint8Array, staging: Staging): Promise<Buffer> {
  const flusher = new Flusher(true)
  const random = seededRandom(`${path} ${content.length}`)
  const file = new TargetFile(path, 0o640, 'new', flusher, staging)
  for (let at = 0; at < content.length; ) {
    const end = Math.min(content.length, at + 1 + random.int(300_000))
    file.write(content.subarray(at, end))
    at = end
  }
  expect(file.finish(content.length, 0o640).sizeBytes).toBe(content.length)
  await flusher.drained()
  return fs.readFileSync(path)
}

function refusal(): Error {
  return Object.assign(new Error('EINVAL: invalid argument'), { code: 'EINVAL' })
}

test('a big file is written past the page cache where that is possible, and is what was given to the byte', async () => {
  using place = tempDirectory('direct')
  const staging = new Staging(createLinearMemory())
  const seen = watch()
  for (const size of SIZES) {
    const content = seededRandom(String(size)).bytes(size)
    expect((await writeFile(place.at(`f${size}`), content, staging)).equals(content)).toBe(true)
  }
  const isDirect = hasDirectWrites(place.at('any'))
  expect(seen.flags.map(flags => (flags & O_DIRECT) !== 0)).toEqual(SIZES.map(() => isDirect))
  if (isDirect) expect(seen.writes.filter(length => length % 4096 !== 0)).toEqual([])
})

test('a file that a failure has left unfinished leaves nothing to the next one', async () => {
  using place = tempDirectory('direct')
  const staging = new Staging(createLinearMemory())
  const broken = new TargetFile(place.at('broken'), 0o600, 'new', new Flusher(true), staging)
  broken.write(new Uint8Array(100_000).fill(1))
  await broken.abandon()
  const content = seededRandom('next').bytes(1_234_567)
  expect((await writeFile(place.at('next'), content, staging)).equals(content)).toBe(true)
})

test('a file system that refuses direct writes, at the opening or at the first write, gets ordinary ones', async () => {
  using place = tempDirectory('direct')
  const refusals: Partial<FileCalls>[] = [
    {
      open(path, flags, mode) {
        if ((flags & O_DIRECT) !== 0) throw refusal()
        return nodeFileSystem.blocking.open(path, flags, mode)
      },
    },
    {
      write(fd, bytes, offset, lengthBytes) {
        if (isDirectly(fd)) throw refusal()
        return nodeFileSystem.blocking.write(fd, bytes, offset, lengthBytes)
      },
    },
  ]
  for (const calls of refusals) {
    for (const size of SIZES) {
      watch(calls)
      const content = seededRandom(String(size)).bytes(size)
      const written = await writeFile(place.at('file'), content, new Staging(createLinearMemory()))
      restore()
      expect(written.equals(content)).toBe(true)
    }
  }
})

test('a direct write that fails later is an error: what came before may be on the disk already', async () => {
  using place = tempDirectory('direct')
  if (!hasDirectWrites(place.at('any'))) return
  let count = 0
  watch({
    write(fd, bytes, offset, lengthBytes) {
      if (++count === 2) throw refusal()
      return nodeFileSystem.blocking.write(fd, bytes, offset, lengthBytes)
    },
  })
  const content = seededRandom('late').bytes(3 << 20)
  const written = writeFile(place.at('late'), content, new Staging(createLinearMemory()))
  expect(await written.catch(error => error.code)).toBe('FILE_ACCESS')
})

test('pieces of a direct write that the system took only in part are written to the end', async () => {
  using place = tempDirectory('direct')
  watch({
    write: (fd, bytes, offset, lengthBytes) =>
      nodeFileSystem.blocking.write(fd, bytes, offset, Math.min(lengthBytes, 64 << 10)),
  })
  const content = seededRandom('short').bytes(2_345_678)
  const written = await writeFile(place.at('short'), content, new Staging(createLinearMemory()))
  expect(written.equals(content)).toBe(true)
})

function isDirectly(fd: number): boolean {
  const flags = /flags:\s+([0-7]+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
  return (Number.parseInt(flags ?? '0', 8) & O_DIRECT) !== 0
}
