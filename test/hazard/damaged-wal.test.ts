import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { runTool } from '../support/process.ts'
import { findTool, missingTool, testUnless } from '../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { runWalg } from '../support/walg.ts'
import { type Repository, repositoryAt } from './sample.ts'

const NAME = segmentName(7)
const SEGMENT = walBytes(NAME)
const METHODS: Readonly<Record<string, string>> = {
  lz4: '.lz4',
  zstd: '.zst',
  brotli: '.br',
  lzma: '.lzma',
  none: '',
}

let place: TempDirectory
let repository: Repository
let serial = 0

beforeAll(() => {
  place = tempDirectory('damaged-wal')
  repository = repositoryAt(place.at('repository'), { WALG_DOWNLOAD_CONCURRENCY: '1' })
  mkdirSync(place.at('pg_wal/archive_status'), { recursive: true })
  writeFileSync(place.at('pg_wal', NAME), SEGMENT)
})
afterAll(() => place.remove())

/** Fetches NAME out of an archive that holds only this object; the destination's folder is empty afterwards or has the file. */
async function fetchFrom(suffix: string, object: Uint8Array | undefined, name = NAME) {
  const folder = path.join(repository.root, 'wal_005')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  if (object !== undefined) writeFileSync(path.join(folder, name + suffix), object)
  const into = place.at(`fetched-${serial++}`)
  mkdirSync(into)
  const run = await repository.run(['wal-fetch', name, path.join(into, 'RECOVERYXLOG')])
  const left = readdirSync(into)
  const delivered = left.includes('RECOVERYXLOG') ? readFileSync(path.join(into, 'RECOVERYXLOG')) : undefined
  rmSync(into, { recursive: true })
  return { ...run, left, delivered }
}

/** Nothing is delivered, nothing lies about, the status is neither success nor "not there". */
async function expectRefused(suffix: string, object: Uint8Array, what: string): Promise<void> {
  const result = await fetchFrom(suffix, object)
  expect([what, result.exit, result.left]).toEqual([what, 1, []])
  expect(result.stderr).toContain(NAME)
}

async function objectOf(method: string): Promise<Uint8Array> {
  if (method === 'gzip') return gzipSync(SEGMENT)
  rmSync(path.join(repository.root, 'wal_005'), { recursive: true, force: true })
  const run = await repository.run(['wal-push', place.at('pg_wal', NAME)], {
    env: { WALG_COMPRESSION_METHOD: method },
  })
  if (run.exit !== 0) throw new Error(run.stderr)
  return readFileSync(path.join(repository.root, 'wal_005', NAME + METHODS[method]))
}

function flipped(object: Uint8Array, at: number): Uint8Array {
  const bytes = Uint8Array.from(object)
  bytes[at]! ^= 0x04
  return bytes
}

/** Ends of the blocks of an LZ4 frame without optional fields but `headerBytes`. */
function blockEnds(frame: Uint8Array, headerBytes: number): number[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const ends = [headerBytes]
  for (let at = headerBytes; ; ) {
    const sizeBytes = view.getUint32(at, true) & 0x7fffffff
    if (sizeBytes === 0) return ends
    at += 4 + sizeBytes
    ends.push(at)
  }
}

describe('an object that is cut, damaged or goes on is never delivered', () => {
  for (const method of ['lz4', 'zstd', 'brotli', 'lzma', 'none', 'gzip']) {
    const suffix = method === 'gzip' ? '.gz' : METHODS[method]!
    test(method, async () => {
      const object = await objectOf(method)
      const whole = await fetchFrom(suffix, object)
      expect([whole.exit, whole.stderr]).toEqual([0, ''])
      expect(Buffer.compare(whole.delivered!, SEGMENT)).toBe(0)
      const cuts = [0, 1, 3, 7, 15, object.length >> 1, object.length - 5, object.length - 1]
      for (const cut of cuts) await expectRefused(suffix, object.subarray(0, cut), `cut at ${cut}`)
      await expectRefused(suffix, Buffer.concat([object, Buffer.alloc(3)]), 'trailing zeros')
      await expectRefused(suffix, Buffer.concat([object, object]), 'twice')
    })

    // lzma, brotli and none have no checksum: there the pages of the segment and its size are all that can tell
    if (method === 'lzma' || method === 'brotli' || method === 'none') continue
    test(`${method}: every flipped bit is noticed`, async () => {
      const object = await objectOf(method)
      for (const at of [0, 5, 40, object.length >> 1, object.length - 2]) {
        const result = await fetchFrom(suffix, flipped(object, at))
        // a bit that means nothing (a flag of gzip's header) may be passed over, wrong bytes may not
        if (result.exit === 0) expect(Buffer.compare(result.delivered!, SEGMENT)).toBe(0)
        else expect([at, result.exit, result.left]).toEqual([at, 1, []])
      }
    })
  }

  testUnless(
    missingTool('lz4'),
    'lz4 cut at every border of a block, as the original lets pass',
    async () => {
      const file = place.at('plain')
      writeFileSync(file, SEGMENT)
      await runTool(findTool('lz4')!, ['-q', '-f', '-B4', '--no-frame-crc', file, place.at('frame')])
      const frame = readFileSync(place.at('frame'))
      expect((await fetchFrom('.lz4', frame)).exit).toBe(0)
      const ends = blockEnds(frame, 7)
      expect(ends.length).toBe(17)
      for (const end of ends)
        await expectRefused('.lz4', frame.subarray(0, end), `cut at block border ${end}`)
    },
  )
})

describe('what else a segment is refused for', () => {
  test('another segment under its name, a shorter one, a longer one, zeros, pages of another place', async () => {
    const wrong: Readonly<Record<string, Uint8Array>> = {
      'the segment of another name': walBytes(segmentName(8)),
      'half of it': SEGMENT.subarray(0, SEGMENT.length / 2),
      'twice its size': Buffer.concat([SEGMENT, SEGMENT]),
      'only zeros': new Uint8Array(SEGMENT.length),
      'pages of another place': Buffer.concat([
        SEGMENT.subarray(0, 65_536),
        SEGMENT.subarray(0, 8192),
        SEGMENT.subarray(73_728),
      ]),
      'the end of a newer one': Buffer.concat([
        SEGMENT.subarray(0, 65_536),
        walBytes(segmentName(9)).subarray(65_536),
      ]),
      'no WAL at all': Buffer.alloc(SEGMENT.length, 'x'),
    }
    for (const [what, bytes] of Object.entries(wrong)) await expectRefused('', bytes, what)
  })

  test('not for the end of an older one: so a server leaves the segment that it was writing when it died', async () => {
    const unfinished = Buffer.concat([SEGMENT.subarray(0, 65_536), walBytes(segmentName(3)).subarray(65_536)])
    const { exit, stderr } = await fetchFrom('', unfinished)
    expect(exit).toBe(0)
    expect(stderr).toContain('WARNING')
    expect(stderr).toContain('written up to byte 65536 only')
  })

  test('in recovery the same failure stops PostgreSQL (126), on a standby it does not (1)', async () => {
    const data = place.at('cluster')
    mkdirSync(path.join(data, 'pg_wal'), { recursive: true })
    rmSync(path.join(repository.root, 'wal_005'), { recursive: true, force: true })
    mkdirSync(path.join(repository.root, 'wal_005'))
    writeFileSync(path.join(repository.root, 'wal_005', `${NAME}.lz4`), 'x')
    const fetch = (): ReturnType<Repository['run']> =>
      repository.run(['wal-fetch', NAME, 'pg_wal/RECOVERYXLOG'], { cwd: data })
    expect((await fetch()).exit).toBe(1)
    writeFileSync(path.join(data, 'recovery.signal'), '')
    expect((await fetch()).exit).toBe(126)
    writeFileSync(path.join(data, 'standby.signal'), '')
    expect((await fetch()).exit).toBe(1)
    expect(readdirSync(path.join(data, 'pg_wal'))).toEqual([])
  })
})

describe('"not there" (74) is said only when the storage has answered', () => {
  test('an empty archive: 74; a root that is missing, a file, or not readable: never', async () => {
    expect((await fetchFrom('', undefined)).exit).toBe(74)
    const roots = [place.at('nowhere'), place.at('nowhere/deeper'), place.at('pg_wal', NAME)]
    for (const root of roots) {
      const run = await repository.run(['wal-fetch', NAME, place.at('destination')], {
        env: { WALG_FILE_PREFIX: root },
      })
      expect([root, run.exit]).toEqual([root, 1])
      expect(run.stderr).toContain(root)
    }
  })

  test('every command refuses a root that is missing, and none creates it', async () => {
    const env = { WALG_FILE_PREFIX: place.at('nowhere') }
    for (const args of [
      ['backup-list'],
      ['wal-push', place.at('pg_wal', NAME)],
      ['backup-fetch', place.at('target'), 'LATEST'],
      ['backup-push', place.at('pg_wal')],
    ]) {
      const run = await repository.run(args, { env })
      expect([args[0], run.exit]).toEqual([args[0], 1])
      expect(existsSync(place.at('nowhere'))).toBe(false)
      expect(existsSync(place.at('target'))).toBe(false)
    }
  })
})

describe('what lies beside the destination', () => {
  test('a prefetched file that nobody vouches for is not used', async () => {
    await fetchFrom('.lz4', undefined)
    expect((await repository.run(['wal-push', place.at('pg_wal', NAME)])).exit).toBe(0)
    const into = place.at('prefetched')
    const prefetch = path.join(into, '.wal-g/prefetch')
    mkdirSync(prefetch, { recursive: true })
    const garbage = walBytes(NAME, { salt: 99 }) // right size, magic and addresses, other records
    writeFileSync(path.join(prefetch, NAME), garbage)
    expect((await repository.run(['wal-fetch', NAME, path.join(into, 'RECOVERYXLOG')])).exit).toBe(0)
    expect(Buffer.compare(readFileSync(path.join(into, 'RECOVERYXLOG')), SEGMENT)).toBe(0)
  })

  test('a prefetched file that was changed after it was written is not used', async () => {
    const into = place.at('changed')
    mkdirSync(into)
    const names = [NAME, segmentName(8), segmentName(9)]
    for (const name of names) {
      writeFileSync(place.at('pg_wal', name), walBytes(name))
      expect((await repository.run(['wal-push', place.at('pg_wal', name)])).exit).toBe(0)
    }
    const env = { WALG_DOWNLOAD_CONCURRENCY: '4' }
    expect((await repository.run(['wal-fetch', NAME, path.join(into, 'first')], { env })).exit).toBe(0)
    const isReady = (file: string): boolean =>
      file.endsWith(`/${segmentName(8)}`) && !file.includes('running')
    const findReady = (): string | undefined =>
      readdirSync(into, { recursive: true, encoding: 'utf8' }).find(isReady)
    await untilTrue(() => findReady() !== undefined)
    const prefetched = path.join(into, findReady()!)
    const bytes = readFileSync(prefetched)
    bytes[500_000]! ^= 1
    writeFileSync(prefetched, bytes)
    expect((await repository.run(['wal-fetch', segmentName(8), path.join(into, 'second')])).exit).toBe(0)
    expect(Buffer.compare(readFileSync(path.join(into, 'second')), walBytes(segmentName(8)))).toBe(0)
  })
})

describe('wal-push', () => {
  test('X.partial that was sent ahead does not stand for X', async () => {
    const own = repositoryAt(place.at('partial'))
    const wal = place.at('partial-wal')
    mkdirSync(path.join(wal, 'archive_status'), { recursive: true })
    const [first, partial] = [segmentName(1), `${segmentName(2)}.partial`]
    writeFileSync(path.join(wal, first), walBytes(first))
    writeFileSync(path.join(wal, partial), walBytes(segmentName(2), { salt: 5 }))
    for (const name of [first, partial]) writeFileSync(path.join(wal, 'archive_status', `${name}.ready`), '')
    expect((await own.run(['wal-push', path.join(wal, first)])).exit).toBe(0)
    writeFileSync(path.join(wal, segmentName(2)), walBytes(segmentName(2)))
    expect((await own.run(['wal-push', path.join(wal, segmentName(2))])).exit).toBe(0)
    expect((await own.run(['wal-fetch', segmentName(2), place.at('whole-one')])).exit).toBe(0)
    expect(Buffer.compare(readFileSync(place.at('whole-one')), walBytes(segmentName(2)))).toBe(0)
  })

  test('of the same segment by several processes at once: equal content succeeds everywhere', async () => {
    const own = repositoryAt(place.at('at-once'))
    for (let round = 0; round < 3; round++) {
      const name = segmentName(20 + round)
      writeFileSync(place.at('pg_wal', name), walBytes(name))
      const runs = await Promise.all([1, 2, 3].map(() => own.run(['wal-push', place.at('pg_wal', name)])))
      expect(runs.map(({ exit }) => exit)).toEqual([0, 0, 0])
      expect((await own.run(['wal-fetch', name, place.at(`at-once-${round}`)])).exit).toBe(0)
      expect(Buffer.compare(readFileSync(place.at(`at-once-${round}`)), walBytes(name))).toBe(0)
    }
    expect(readdirSync(path.join(own.root, 'wal_005')).length).toBe(3)
  })

  test('of different content under one name at once: one wins, and only it is told so', async () => {
    const own = repositoryAt(place.at('rivals'))
    for (let round = 0; round < 4; round++) {
      const name = segmentName(40 + round)
      const contents = [1, 2, 3].map(salt => walBytes(name, { salt }))
      const runs = await Promise.all(
        contents.map((bytes, rival) => {
          const wal = place.at(`rival-${round}-${rival}`)
          mkdirSync(path.join(wal, 'archive_status'), { recursive: true })
          writeFileSync(path.join(wal, name), bytes)
          return own.run(['wal-push', path.join(wal, name)])
        }),
      )
      const winners = runs.flatMap(({ exit }, rival) => (exit === 0 ? [rival] : []))
      expect([round, winners.length, runs.map(({ exit }) => exit)]).toEqual([round, 1, expect.any(Array)])
      expect((await own.run(['wal-fetch', name, place.at(`rivals-${round}`)])).exit).toBe(0)
      expect(Buffer.compare(readFileSync(place.at(`rivals-${round}`)), contents[winners[0]!]!)).toBe(0)
    }
  })

  test('of different content by different methods at once: one is acknowledged at most, and it is what is fetched', async () => {
    const own = repositoryAt(place.at('methods'))
    for (let round = 0; round < 6; round++) {
      const name = segmentName(80 + round)
      const rivals = ['lz4', 'zstd'].map((method, salt) => ({ method, bytes: walBytes(name, { salt }) }))
      const runs = await Promise.all(
        rivals.map(({ method, bytes }) => {
          const wal = place.at(`method-${round}-${method}`)
          mkdirSync(path.join(wal, 'archive_status'), { recursive: true })
          writeFileSync(path.join(wal, name), bytes)
          return own.run(['wal-push', path.join(wal, name)], { env: { WALG_COMPRESSION_METHOD: method } })
        }),
      )
      const winners = runs.flatMap(({ exit }, rival) => (exit === 0 ? [rival] : []))
      expect([round, winners.length < 2]).toEqual([round, true])
      const fetched = await own.run(['wal-fetch', name, place.at(`methods-${round}`)])
      expect([round, fetched.exit]).toEqual([round, winners.length === 0 ? 74 : 0])
      if (winners.length === 0) continue
      const expected = rivals[winners[0]!]!.bytes
      expect(Buffer.compare(readFileSync(place.at(`methods-${round}`)), expected)).toBe(0)
    }
  })

  test('a cut object of the original is replaced, a whole one with other content never', async () => {
    const own = repositoryAt(place.at('replace'))
    const name = segmentName(60)
    writeFileSync(place.at('pg_wal', name), walBytes(name))
    expect((await own.run(['wal-push', place.at('pg_wal', name)])).exit).toBe(0)
    const object = path.join(own.root, 'wal_005', `${name}.lz4`)
    const whole = readFileSync(object)
    writeFileSync(place.at('pg_wal', name), walBytes(name, { salt: 2 }))
    const refused = await own.run(['wal-push', place.at('pg_wal', name)])
    expect(refused.exit).toBe(1)
    expect(refused.stderr).toContain('contents differ')
    expect(Buffer.compare(readFileSync(object), whole)).toBe(0)
    renameSync(object, place.at('aside'))
    writeFileSync(object, whole.subarray(0, whole.length / 2))
    const replaced = await own.run(['wal-push', place.at('pg_wal', name)])
    expect(replaced.exit).toBe(0)
    expect(replaced.stderr).toMatch(/^WARNING: .*incomplete/m)
    expect((await own.run(['wal-fetch', name, place.at('replaced')])).exit).toBe(0)
    expect(Buffer.compare(readFileSync(place.at('replaced')), walBytes(name, { salt: 2 }))).toBe(0)
  })

  test('a file that is missing, a directory without WAL, a name that is a path: an error below 126, nothing stored', async () => {
    const own = repositoryAt(place.at('nothing'))
    mkdirSync(place.at('empty-folder'))
    for (const file of ['missing/0', 'missing', place.at('pg_wal', segmentName(99))]) {
      const run = await runWalg(['wal-push', file], { env: own.env })
      expect(run.exit).toBe(1)
    }
    expect(readdirSync(own.root)).toEqual([])
  })
})
