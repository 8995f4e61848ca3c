import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { DELTA, deltaOf, FetchRig, FULL, fullBackup, increment } from '../../../test/support/fetch-rig.ts'
import { LATE_PARTS, type MadeBackup, makeBackup } from '../../../test/support/made-backup.ts'
import { untilTrue } from '../../../test/support/until-true.ts'
import { openCodec } from '../../codec/open-codec.ts'
import { createRateLimit } from '../../kit/limits.ts'

/** More than three blocks of LZ4. */
const PAGES = 1700
const FIRST = 'base_000000010000000000000004_D_000000010000000000000002'
const SECOND = 'base_000000010000000000000006_D_000000010000000000000004'

let rig: FetchRig
beforeEach(async () => {
  rig = await FetchRig.open()
})
afterEach(() => rig.close())

function lz4(tar: Uint8Array): Uint8Array {
  const written: Uint8Array[] = []
  const codec = openCodec({ compression: 'lz4' })
  const writer = codec.seal({ write: bytes => void written.push(bytes.slice()), end() {} }, 'part')
  if (writer instanceof Promise) throw new Error('lz4 is there at once')
  for (let at = 0; at < tar.length; at += writer.capacityBytes) {
    const piece = tar.subarray(at, at + writer.capacityBytes)
    writer.memory.set(piece, writer.base)
    writer.flush(piece.length)
  }
  writer.end()
  return new Uint8Array(Buffer.concat(written))
}

/** As `lz4`, with a wrong letter in the second block: nobody who reads that block can miss it. */
function spoiled(tar: Uint8Array): Uint8Array {
  const stored = lz4(tar)
  const second = 11 + new DataView(stored.buffer).getUint32(7, true)
  stored[second + 6]! ^= 0x20
  return stored
}

const pages = (letter: string): readonly (readonly [number, string])[] =>
  Array.from({ length: PAGES }, (_, block) => [block, letter])

function make(
  name: string,
  parent: string | undefined,
  content: Uint8Array,
  more: Partial<MadeBackup>,
): void {
  const step = Number.parseInt(name.slice(21, 29), 16)
  const lsn = (segment: number): number => segment * (1 << 24) + 0x28
  const isDelta = parent !== undefined
  makeBackup(rig.folder.at('repository'), {
    name,
    parts: { 'part_001.tar.lz4': [{ name: '/base/5/9', content }], ...LATE_PARTS },
    files: { '/base/5/9': isDelta ? { IsIncremented: true } : {} },
    seal: lz4,
    sentinel: isDelta
      ? {
          LSN: lsn(step),
          DeltaLSN: lsn(step - 2),
          DeltaFrom: parent,
          DeltaFullName: FULL,
          DeltaCount: step / 2 - 1,
        }
      : {},
    ...more,
  })
}

/** A full backup and two deltas; each of the deltas has every page of the file. */
function makeChain(more: { readonly full: Partial<MadeBackup>; readonly first: Partial<MadeBackup> }): void {
  const bytes = PAGES * 8192
  rig.make({ ...fullBackup, parts: {} })
  make(FULL, undefined, new Uint8Array(bytes).fill(0x61), more.full)
  make(FIRST, FULL, increment(bytes, pages('b')), more.first)
  make(SECOND, FIRST, increment(bytes, pages('c')), { hasManifest: more.full.hasManifest === true })
}

describe('blocks of which newer backups have brought all pages', () => {
  test('are not decompressed: the hash of the object vouches for what nobody reads', async () => {
    makeChain({ full: { hasManifest: true, seal: spoiled }, first: { hasManifest: true, seal: spoiled } })
    await rig.fetch({}, SECOND)
    expect(rig.read('base/5/9')).toBe('c'.repeat(PAGES * 8192))
  })

  test('are read all the same where the object has no hash', async () => {
    makeChain({ full: { seal: spoiled }, first: {} })
    const inFull = await rig.failure(rig.fetch({}, SECOND))
    expect([inFull.code, inFull.message]).toEqual(['FORMAT_INVALID', expect.stringContaining(FULL)])
  })

  test('are read where a single page is still wanted', async () => {
    makeChain({ full: { hasManifest: true, seal: spoiled }, first: { hasManifest: true } })
    const bytes = PAGES * 8192
    const without = (letter: string) =>
      increment(
        bytes,
        pages(letter).filter(([block]) => block !== 700),
      )
    make(FIRST, FULL, without('b'), { hasManifest: true })
    make(SECOND, FIRST, without('c'), { hasManifest: true })
    expect((await rig.failure(rig.fetch({}, SECOND))).code).toBe('FORMAT_INVALID')
    make(FULL, undefined, new Uint8Array(bytes).fill(0x61), { hasManifest: true })
    await rig.fetch({ isResume: true }, SECOND)
    const expected = Buffer.alloc(bytes, 'c').fill('a', 700 * 8192, 701 * 8192)
    expect(rig.read('base/5/9') === expected.toString()).toBe(true)
  })
})

test('an abort reaches a part that was begun early when nothing else is left', async () => {
  const bytesPerSecond = 500_000
  const part = (letter: string) => ({ 'part_001.tar': [{ name: '/base/5/1', content: letter.repeat(600) }] })
  // nothing newer has `/still`, which takes ten seconds; everything else takes none
  const still = { 'part_002.tar': [{ name: '/still', content: 'x'.repeat(10 * bytesPerSecond) }] }
  rig.make({ ...fullBackup, hasManifest: true, parts: { ...part('a'), ...still, ...LATE_PARTS } })
  rig.make({
    ...deltaOf({ '/base/5/1': {}, '/still': { IsSkipped: true } }, part('b')),
    hasManifest: true,
  })
  Object.assign(rig.context.storageDescription, { networkLimit: createRateLimit(bytesPerSecond) })
  const fetching = rig.failure(rig.fetch({}, DELTA))
  const isAlone = (): boolean =>
    rig.context.messages.filter(message => message.includes('extraction of part_001')).length === 2
  await untilTrue(isAlone)
  rig.context.abort.abort()
  expect((await fetching).code).toBe('CANCELLED')
  expect(rig.context.messages.join()).not.toContain('extraction of part_002')
}, 30_000)
