import { expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import zlib from 'node:zlib'
import { seededRandom } from '../../../test/support/seeded-random.ts'
import { looksLikeText, zstdParameters } from './zstd-parameters.ts'

const {
  ZSTD_c_compressionLevel: LEVEL,
  ZSTD_c_minMatch: MIN_MATCH,
  ZSTD_c_nbWorkers: THREADS,
  ZSTD_c_windowLog: WINDOW,
} = zlib.constants
const BLOCK_BYTES = 1 << 20

/** Words of a language in sentences that are said again and again. */
function prose(alphabet: string): Uint8Array {
  const random = seededRandom('prose')
  const letter = (): string => alphabet[Math.floor(alphabet.length * (random.int(1000) / 1000) ** 1.6)]!
  const word = (): string => Array.from({ length: 2 + random.int(8) }, letter).join('')
  const words = Array.from({ length: 20_000 }, word)
  const sentences = Array.from({ length: 2500 }, () =>
    Array.from({ length: 12 }, () => random.pick(words)).join(' '),
  )
  const text = Array.from({ length: BLOCK_BYTES / 60 }, () => random.pick(sentences)).join('. ')
  return new TextEncoder().encode(text).subarray(0, BLOCK_BYTES)
}

function hexadecimal(): Uint8Array {
  const random = seededRandom('hexadecimal')
  return new TextEncoder().encode(
    random.bytes(BLOCK_BYTES / 2).reduce((text, byte) => text + byte.toString(16).padStart(2, '0'), ''),
  )
}

/** The sources of this project: text whose phrases come again word for word. */
function sources(): Uint8Array {
  const folder = path.join(import.meta.dir, '../..')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(file =>
    file.endsWith('.ts'),
  )
  const text = Buffer.concat(files.toSorted().map(file => readFileSync(path.join(folder, file))))
  return text.subarray(0, BLOCK_BYTES)
}

const ENGLISH = prose('etaoinshrdlucmfwypvbgkjqxz')
const RUSSIAN = prose('оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё')

test('text is told by its bytes, in any alphabet; digits, padding, rows and noise are not taken for it', () => {
  expect(looksLikeText(ENGLISH)).toBe(true)
  expect(looksLikeText(RUSSIAN)).toBe(true)
  expect(looksLikeText(hexadecimal())).toBe(false)
  expect(looksLikeText(new Uint8Array(BLOCK_BYTES).fill(32))).toBe(false)
  expect(looksLikeText(seededRandom('noise').bytes(BLOCK_BYTES))).toBe(false)
  expect(looksLikeText(new Uint8Array(0))).toBe(false)
})

test('text gets the fastest tables that nothing betters by much: for phrases, for words, else those for rows', () => {
  const part = (beginning: Uint8Array) => zstdParameters({ use: 'part' }, beginning)
  expect(part(sources())).toMatchObject({ [LEVEL]: 3 })
  expect(part(ENGLISH)).toMatchObject({ [LEVEL]: 2, [MIN_MATCH]: 6 })
  expect(part(hexadecimal())).toMatchObject({ [LEVEL]: 2, [MIN_MATCH]: 5 })
  expect(part(new Uint8Array(0))).toMatchObject({ [LEVEL]: 2, [MIN_MATCH]: 5 })
  expect(zstdParameters({ use: 'wal' }, ENGLISH.subarray(0, 262_144))).toMatchObject({ [LEVEL]: 3 })
  expect(zstdParameters({ use: 'wal' }, new Uint8Array(262_144))).toMatchObject({ [LEVEL]: 2 })
})

test('a named level is that level, whatever the content; no window is larger than the original reads', () => {
  for (const [zstdLevel, level] of [
    ['fastest', 1],
    ['better', 7],
    ['best', 19],
  ] as const) {
    for (const use of ['part', 'small files', 'wal'] as const) {
      expect(zstdParameters({ use, zstdLevel }, ENGLISH)[LEVEL]).toBe(level)
      expect(zstdParameters({ use, zstdLevel }, ENGLISH)[WINDOW]).toBeLessThanOrEqual(23)
    }
  }
})

test('a segment is compressed by threads of the library where there are CPUs for them; a small object is not', () => {
  const segment = new Uint8Array(256 << 10)
  expect(zstdParameters({ use: 'wal' }, segment, 2)).toMatchObject({ [THREADS]: 2 })
  for (const [use, beginning, cpus] of [
    ['wal', segment, 1],
    ['wal', segment.subarray(1), 2],
    ['part', segment, 2],
  ] as const) {
    expect(zstdParameters({ use }, beginning, cpus)).not.toHaveProperty(String(THREADS))
  }
})
