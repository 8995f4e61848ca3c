import { describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { compressionByExtension } from '../../src/codec/extensions.ts'
import { openCodec } from '../../src/codec/open-codec.ts'
import { collect, concatBytes, streamOf } from '../../src/kit/bytes.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { describeUnless, interopDirectory, missingInterop, missingTool } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { failureOf, mixedContent, openWith, sealWith } from './compression.ts'

const CONTENT = mixedContent(1_300_007, 'oracle')
const LARGE = mixedContent(9_500_001, 'oracle, large')

/** Standard output of a program that is given `input`. */
function run(program: string, options: readonly string[], input: Uint8Array): Uint8Array {
  const child = spawnSync(program, options, { input, maxBuffer: 1 << 28 })
  if (child.status !== 0) throw new Error(`${program} ${options.join(' ')}: ${child.stderr}`)
  return new Uint8Array(child.stdout)
}

/** Runs `work` with a directory that is gone afterwards. */
async function withTempDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  using directory = tempDirectory('compression')
  return await work(directory.path)
}

function expectSame(actual: Uint8Array, wanted: Uint8Array): void {
  expect(actual.length).toBe(wanted.length)
  expect(Buffer.compare(actual, wanted)).toBe(0)
}

/** A skippable frame, as lz4 and zstd share it. */
function skippable(sizeBytes: number): Uint8Array {
  const frame = Buffer.alloc(8 + sizeBytes, 0x5a)
  frame.writeUInt32LE(0x184d2a5b, 0)
  frame.writeUInt32LE(sizeBytes, 4)
  return frame
}

describeUnless(missingTool('lz4'), 'the lz4 tool', () => {
  const seal = (options: string[], input: Uint8Array = CONTENT): Uint8Array =>
    run('lz4', [...options, '-c'], input)

  test('reads what we write: empty, small, several blocks, noise', async () => {
    const noise = seededRandom('lz4 noise').bytes(5 << 20)
    for (const content of [new Uint8Array(0), CONTENT.subarray(0, 1), CONTENT, LARGE, noise]) {
      expectSame(run('lz4', ['-dc'], await sealWith('lz4', content)), content)
    }
  })

  for (const options of [
    [],
    ['-9'],
    ['-12', '-BD'],
    ['-B4'],
    ['-B5', '-BD'],
    ['-B6', '-BX'],
    ['-B7', '-BD', '-BX'],
    ['-B4', '-BD', '--no-frame-crc'],
    ['-l'],
  ]) {
    test(`writes what we read: lz4 ${options.join(' ')}`, async () => {
      for (const content of [CONTENT, LARGE]) {
        for (const pieceBytes of [1013, 1 << 20]) {
          expectSame(await openWith('lz4', seal(options, content), pieceBytes), content)
        }
      }
    })
  }

  test('a content size is read and checked', () =>
    withTempDirectory(async directory => {
      const file = path.join(directory, 'content')
      await Bun.write(file, CONTENT)
      const stored = run('lz4', ['--content-size', '-c', file], new Uint8Array(0))
      expect(stored[4]! & 8).toBe(8)
      expectSame(await openWith('lz4', stored), CONTENT)
    }))

  test('frames, empty frames, skippable frames and legacy frames in one object are one content', async () => {
    const [frame, empty, legacy] = [seal([]), seal([], new Uint8Array(0)), seal(['-l'])]
    const skip = skippable(70_000)
    for (const [pieces, count] of [
      [[frame, frame, frame], 3],
      [[frame, empty, frame, empty], 2],
      [[skip, frame, skip, frame, skippable(0)], 2],
      [[legacy, frame], 2],
      [[frame, legacy, skip], 2],
    ] as const) {
      const wanted = concatBytes(Array.from({ length: count }, () => CONTENT))
      expectSame(await openWith('lz4', concatBytes(pieces)), wanted)
    }
  })

  test('cuts at every block boundary, in the end mark and in the checksum are noticed', async () => {
    const stored = await sealWith('lz4', LARGE)
    const boundaries = [0, 7]
    for (let at = 7; at < stored.length - 8; ) {
      at += 4 + (Buffer.from(stored.buffer, at, 4).readUInt32LE(0) & 0x7fffffff)
      boundaries.push(at)
    }
    for (const tail of [1, 2, 3, 4, 5, 6, 7]) boundaries.push(stored.length - tail)
    for (const size of boundaries) {
      expect((await failureOf(openWith('lz4', stored.subarray(0, size)))).code).toBe('FORMAT_TRUNCATED')
    }
  })

  test('damage that only a checksum shows is noticed: content, block, header', async () => {
    const noise = seededRandom('lz4 noise').bytes(100_000)
    for (const stored of [await sealWith('lz4', noise), seal(['-BX', '--no-frame-crc'], noise)]) {
      const changed = stored.slice()
      changed[50_000]! ^= 1
      expect((await failureOf(openWith('lz4', changed))).code).toBe('CHECKSUM_MISMATCH')
    }
  })
})

describeUnless(missingTool('zstd'), 'the zstd tool', () => {
  const seal = (options: string[], input: Uint8Array = CONTENT): Uint8Array =>
    run('zstd', [...options, '-c'], input)

  test('reads what we write at every level, as one frame with a checksum', async () => {
    for (const zstdLevel of ['fastest', 'default', 'better', 'best'] as const) {
      for (const use of ['wal', 'part'] as const) {
        const content = zstdLevel === 'best' ? CONTENT : LARGE
        const stored = await sealWith('zstd', content, { zstdLevel, use })
        expectSame(run('zstd', ['-dc'], stored), content)
        expect(stored[4]! & 0x24).toBe(4) // checksum, a window of its own
        const windowLog = 10 + (stored[5]! >> 3)
        expect(windowLog).toBeLessThanOrEqual(23)
      }
    }
    const listing = await withTempDirectory(async directory => {
      const file = path.join(directory, 'x.zst')
      await Bun.write(file, await sealWith('zstd', LARGE))
      return Buffer.from(run('zstd', ['-lv', file], new Uint8Array(0))).toString()
    })
    expect(listing).toMatch(/# Zstandard Frames: 1\b/)
    expect(listing).toContain('XXH64')
  }, 60_000)

  for (const options of [
    ['-1'],
    ['--fast=5'],
    ['-19'],
    ['--no-check', '-3'],
    ['--long=27'],
    ['--long=29'],
    ['--long=31'],
  ]) {
    test(`writes what we read: zstd ${options.join(' ')}`, async () => {
      expectSame(await openWith('zstd', seal(options)), CONTENT)
    }, 30_000)
  }

  test('frames, empty frames and skippable frames in one object are one content', async () => {
    const [frame, plain, empty] = [seal([]), seal(['--no-check']), seal([], new Uint8Array(0))]
    const skip = skippable(300_000)
    for (const pieces of [
      [frame, plain],
      [skip, frame, empty, skip, plain],
      [plain, frame, skippable(0)],
    ]) {
      for (const pieceBytes of [997, 1 << 20]) {
        expectSame(await openWith('zstd', concatBytes(pieces), pieceBytes), concatBytes([CONTENT, CONTENT]))
      }
    }
  })

  test('a cut at a block boundary of a frame without checksum is noticed', async () => {
    const stored = seal(['--no-check'])
    for (let at = 6; at < stored.length; ) {
      expect((await failureOf(openWith('zstd', stored.subarray(0, at)))).code).toBe('FORMAT_TRUNCATED')
      const header = stored[at]! | (stored[at + 1]! << 8) | (stored[at + 2]! << 16)
      at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3)
    }
  })

  test('changed content that still decodes does not match its checksum', async () => {
    const stored = (await sealWith('zstd', seededRandom('zstd noise').bytes(100_000))).slice()
    stored[50_000]! ^= 1
    expect((await failureOf(openWith('zstd', stored))).code).toBe('CHECKSUM_MISMATCH')
  })
})

describeUnless(missingTool('brotli'), 'the brotli tool', () => {
  test('reads what we write, the empty object included', async () => {
    expect(Buffer.from(await sealWith('brotli', new Uint8Array(0))).toString('hex')).toBe('3b')
    for (const content of [CONTENT, LARGE]) {
      expectSame(run('brotli', ['-dc'], await sealWith('brotli', content)), content)
    }
  })

  for (const options of [
    ['-q', '0'],
    ['-q', '5', '-w', '24'],
    ['-q', '9', '-w', '10'],
  ]) {
    test(`writes what we read: brotli ${options.join(' ')}`, async () => {
      expectSame(await openWith('brotli', run('brotli', [...options, '-c'], CONTENT)), CONTENT)
    })
  }

  test('a large window and a second stream are refused', async () => {
    const large = run('brotli', ['-q', '5', '--large_window=28', '-c'], CONTENT)
    expect((await failureOf(openWith('brotli', large))).code).toBe('FORMAT_INVALID')
    const stream = run('brotli', ['-q', '1', '-c'], CONTENT)
    expect((await failureOf(openWith('brotli', concatBytes([stream, stream])))).code).toBe('FORMAT_INVALID')
  })
})

describeUnless(missingTool('xz'), 'the xz tool', () => {
  test('reads the .lzma that we write; the header is the one of the original', async () => {
    for (const use of ['wal', 'part'] as const) {
      const stored = await sealWith('lzma', CONTENT, { use })
      expect(Buffer.from(stored.subarray(0, 13)).toString('hex')).toBe('5d00008000ffffffffffffffff')
      expectSame(run('xz', ['--format=lzma', '-dc'], stored), CONTENT)
    }
    expectSame(
      run('xz', ['--format=lzma', '-dc'], await sealWith('lzma', new Uint8Array(0))),
      new Uint8Array(0),
    )
  }, 60_000)

  for (const options of [
    ['-0'],
    ['-6'],
    ['-9e'],
    ['--lzma1=lc=0,lp=4,pb=0,dict=4KiB'],
    ['--lzma1=lc=1,lp=3,pb=4,dict=64KiB'],
    ['--lzma1=lc=4,lp=0,pb=2,dict=256MiB'],
  ]) {
    test(`writes what we read: xz --format=lzma ${options.join(' ')}`, async () => {
      const stored = run('xz', ['--format=lzma', ...options, '-c'], CONTENT)
      for (const pieceBytes of [29, 1 << 20]) {
        expectSame(await openWith('lzma', stored, pieceBytes), CONTENT)
      }
    }, 30_000)
  }

  test('the .xz container is refused by name', async () => {
    const error = await failureOf(openWith('lzma', run('xz', ['-c'], CONTENT)))
    expect(error.code).toBe('FORMAT_INVALID')
    expect(error.message).toContain('.xz')
  })
})

describeUnless(missingTool('gzip'), 'the gzip tool', () => {
  test('writes what we read: levels, a stored name, several members', () =>
    withTempDirectory(async directory => {
      const file = path.join(directory, 'name with spaces')
      await Bun.write(file, CONTENT)
      const named = run('gzip', ['-9', '-c', file], new Uint8Array(0))
      const plain = run('gzip', ['-1n'], CONTENT)
      expectSame(await openWith('gzip', named), CONTENT)
      for (const pieceBytes of [11, 1 << 20]) {
        expectSame(
          await openWith('gzip', concatBytes([plain, named]), pieceBytes),
          concatBytes([CONTENT, CONTENT]),
        )
      }
    }))
})

describeUnless(missingTool('lzop'), 'the lzop tool', () => {
  for (const options of [['-1'], ['-3'], ['-9'], ['-F'], ['--crc32', '-7'], ['--no-checksum', '-5']]) {
    test(`writes what we read: lzop ${options.join(' ')}`, () =>
      withTempDirectory(async directory => {
        const noise = seededRandom('lzop').bytes(700_000)
        for (const [name, content] of [
          ['mixed', CONTENT],
          ['noise', noise],
          ['one', CONTENT.subarray(0, 1)],
        ] as const) {
          const file = path.join(directory, name)
          await Bun.write(file, content)
          const stored = run('lzop', [...options, '-c', file], new Uint8Array(0))
          for (const pieceBytes of [997, 1 << 20]) {
            expectSame(await openWith('lzo', stored, pieceBytes), content)
          }
        }
      }))
  }

  test('a changed block does not match its checksum', async () => {
    const stored = run('lzop', ['-c'], seededRandom('lzop').bytes(50_000)).slice()
    stored[20_000]! ^= 1
    expect((await failureOf(openWith('lzo', stored))).code).toBe('CHECKSUM_MISMATCH')
  })
})

describeUnless(missingInterop(), 'objects of the original', () => {
  test('one WAL segment in every stored form without a key has the recorded content', () =>
    withTempDirectory(async directory => {
      const fixture = path.join(interopDirectory(), 'wal-encodings')
      const facts = JSON.parse(readFileSync(`${fixture}.json`, 'utf8'))
      run('tar', ['-xf', `${fixture}.tar`, '-C', directory], new Uint8Array(0))
      const isKeyed = (root: string): boolean => /libsodium|pgp/.test(root)
      const roots = readdirSync(directory).filter(
        root => !isKeyed(root) && root !== 'mixed' && root !== 'precedence',
      )
      expect(roots.length).toBe(12)
      const codec = openCodec({ compression: 'none' })
      for (const root of roots) {
        const folder = path.join(directory, root, 'wal_005')
        const [name] = readdirSync(folder)
        const extension = name!.slice(facts.segment.length + 1)
        expect(compressionByExtension(extension)).toBeDefined()
        const stored = new Uint8Array(readFileSync(path.join(folder, name!)))
        const content = await collect(codec.openStream(extension)(streamOf(stored)), 1 << 24)
        expect(`${root} ${createHash('sha256').update(content).digest('hex')}`).toBe(
          `${root} ${facts.sha256}`,
        )
      }
    }))
})

describe('the tools', () => {
  test('at least one of them is here to contradict us', () => {
    const present = ['lz4', 'zstd', 'brotli', 'xz', 'gzip', 'lzop'].filter(
      tool => missingTool(tool) === undefined,
    )
    expect(present.length).toBeGreaterThan(0)
  })
})
