import { afterEach, beforeEach, expect, test } from 'bun:test'
import fs from 'node:fs'
import { FetchRig, FULL } from '../support/fetch-rig.ts'
import { LATE_PARTS, type MadeMember, makeBackup } from '../support/made-backup.ts'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'

const PAGE = 8192
const CHAINS = Number(process.env['WALG_CHAINS'] ?? 12)
const FILES = ['base/5/1', 'base/5/2', 'base/5/3', 'base/5/4', 'global/12']
const MODES = [0o600, 0o640, 0o644]

let rig: FetchRig
beforeEach(async () => {
  rig = await FetchRig.open()
})
afterEach(() => rig.close())

interface ModelFile {
  readonly bytes: Buffer
  readonly mode: number
}
type Model = ReadonlyMap<string, ModelFile>
type Flags = Readonly<Record<string, { IsIncremented?: boolean; IsSkipped?: boolean }>>

interface Generation {
  readonly name: string
  readonly model: Model
  /** Names of the ordinary parts. */
  readonly parts: readonly string[]
}

const nameOf = (step: number): string => {
  const segment = (2 + 2 * step).toString(16).toUpperCase().padStart(8, '0')
  const parent = (2 * step).toString(16).toUpperCase().padStart(8, '0')
  return step === 0 ? FULL : `base_0000000100000000${segment}_D_0000000100000000${parent}`
}
const lsnOf = (step: number): number => (2 + 2 * step) * (1 << 24) + 0x28

const page = (random: SeededRandom): Buffer =>
  Buffer.alloc(PAGE, random.int(4) === 0 ? 0 : 0x61 + random.int(26))

const wholeFile = (random: SeededRandom): Buffer =>
  Buffer.concat([
    // some so large that a part is read in several pieces
    ...Array.from({ length: random.int(random.int(4) === 0 ? 120 : 9) }, () => page(random)),
    Buffer.alloc(random.int(5) === 0 ? random.int(PAGE) : 0, 'x'),
  ])

interface Increment {
  readonly sizeBytes: number
  readonly pages: ReadonlyMap<number, Buffer>
}

function randomIncrement(random: SeededRandom, before: Buffer): Increment {
  const blocks = Math.ceil(before.length / PAGE)
  const size = [
    () => before.length,
    () => random.int(blocks + 1) * PAGE,
    () => (blocks + random.int(4)) * PAGE,
    () => random.int(before.length + 1),
  ][random.int(9) === 0 ? 3 : random.int(3)]!()
  const beyond = random.int(6) === 0 ? 2 : 0
  const pages = new Map<number, Buffer>()
  for (let block = 0; block < Math.ceil(size / PAGE) + beyond; block++) {
    if (random.int(3) === 0) pages.set(block, page(random))
  }
  return { sizeBytes: size, pages }
}

/** What forward means: cut or extended to the size, then each page in its place, which may extend it again. */
function apply(before: Buffer, { sizeBytes, pages }: Increment): Buffer {
  const end = Math.max(sizeBytes, ...[...pages.keys()].map(block => (block + 1) * PAGE))
  const after = Buffer.alloc(end)
  before.copy(after, 0, 0, Math.min(before.length, sizeBytes))
  for (const [block, bytes] of pages) bytes.copy(after, block * PAGE)
  return after
}

function encode({ sizeBytes, pages }: Increment): Buffer {
  const head = Buffer.alloc(16 + 4 * pages.size)
  head.set([0x77, 0x69, 0x31, 0x55])
  head.writeBigUInt64LE(BigInt(sizeBytes), 4)
  head.writeUInt32LE(pages.size, 12)
  for (const [index, block] of [...pages.keys()].entries()) head.writeUInt32LE(block, 16 + 4 * index)
  return Buffer.concat([head, ...pages.values()])
}

/** One increment in two: the pages shared out. Only where no page lies beyond the size, which two could not say. */
function shareOut(random: SeededRandom, whole: Increment): Increment[] {
  const isBeyond = [...whole.pages.keys()].some(block => (block + 1) * PAGE > whole.sizeBytes)
  if (isBeyond || random.int(3) !== 0) return [whole]
  const halves = [new Map<number, Buffer>(), new Map<number, Buffer>()]
  for (const [block, bytes] of whole.pages) halves[random.int(2)]!.set(block, bytes)
  return halves.map(pages => ({ sizeBytes: whole.sizeBytes, pages }))
}

/** Makes one backup on top of `parent` and returns what it must restore to. */
function makeGeneration(random: SeededRandom, step: number, parent: Model, hasManifest: boolean): Generation {
  const model = new Map<string, ModelFile>()
  const flags: Record<string, { IsIncremented?: boolean; IsSkipped?: boolean }> = { '/PG_VERSION': {} }
  const parts: MadeMember[][] = [[{ name: '/PG_VERSION', content: '15\n' }], [], []]
  const put = (part: number, name: string, content: Buffer, mode: number): void => {
    parts[part]!.push({ name: `/${name}`, content, mode })
  }
  for (const name of FILES) {
    const before = parent.get(name)
    const choice = random.int(10)
    const mode = MODES[random.int(MODES.length)]!
    if (before === undefined || choice === 0) {
      if (choice > 6) continue
      const bytes = wholeFile(random)
      flags[`/${name}`] = {}
      put(random.int(3), name, bytes, mode)
      model.set(name, { bytes, mode })
    } else if (choice < 3) {
      flags[`/${name}`] = { IsSkipped: true }
      model.set(name, before)
    } else if (choice < 9) {
      const whole = randomIncrement(random, before.bytes)
      const shares = hasManifest ? [whole] : shareOut(random, whole)
      const first = random.int(3)
      for (const [index, share] of shares.entries()) put((first + index) % 3, name, encode(share), mode)
      flags[`/${name}`] = { IsIncremented: true, ...(random.int(8) === 0 ? { IsSkipped: true } : {}) }
      model.set(name, { bytes: apply(before.bytes, whole), mode })
    }
  }
  const named = Object.fromEntries(parts.map((members, index) => [`part_00${index + 1}.tar`, members]))
  write(step, named, flags, hasManifest)
  return { name: nameOf(step), model, parts: Object.keys(named) }
}

function write(step: number, parts: Record<string, MadeMember[]>, files: Flags, hasManifest: boolean): void {
  const delta = {
    LSN: lsnOf(step),
    DeltaLSN: lsnOf(step - 1),
    DeltaFrom: nameOf(step - 1),
    DeltaFullName: FULL,
    DeltaCount: step,
  }
  makeBackup(rig.folder.at('repository'), {
    name: nameOf(step),
    parts: { ...parts, ...LATE_PARTS },
    files,
    hasManifest,
    ...(step === 0 ? {} : { sentinel: delta }),
  })
}

function makeChain(random: SeededRandom): Generation[] {
  fs.rmSync(rig.folder.at('repository', 'basebackups_005'), { recursive: true, force: true })
  const hasManifest = random.int(2) === 0
  const chain: Generation[] = []
  const length = 2 + random.int(4)
  for (let step = 0; step < length; step++) {
    chain.push(makeGeneration(random, step, chain[step - 1]?.model ?? new Map(), hasManifest))
  }
  return chain
}

function expectRestored({ model }: Generation): void {
  for (const name of FILES) {
    const expected = model.get(name)
    const file = rig.restored(name)
    if (expected === undefined) {
      expect([name, fs.existsSync(file)]).toEqual([name, false])
      continue
    }
    expect([name, fs.statSync(file).mode & 0o7777]).toEqual([name, expected.mode])
    const found = fs.readFileSync(file)
    expect([name, found.length]).toEqual([name, expected.bytes.length])
    const at = found.findIndex((byte, index) => byte !== expected.bytes[index])
    expect([name, 'differs at', at]).toEqual([name, 'differs at', -1])
  }
}

const manifestChecksums = (): Map<string, unknown> =>
  new Map(
    JSON.parse(rig.read('backup_manifest')).Files.map((file: { Path: string; Checksum: string }) => [
      file.Path,
      file.Checksum,
    ]),
  )

test(`${CHAINS} chains restore to what applying them one after the other gives, byte for byte and mode for mode`, async () => {
  const random = seededRandom('chain-restore')
  for (let count = 0; count < CHAINS; count++) {
    const target = makeChain(random).at(-1)!
    await rig.fetch({ checksums: 'sha256' }, target.name)
    expectRestored(target)
    const checksums = manifestChecksums()
    for (const [name, { bytes }] of target.model) {
      const checksum = new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
      expect([name, checksums.get(name)]).toEqual([name, checksum])
    }
    fs.rmSync(rig.target, { recursive: true })
  }
}, 120_000)

const isComplete = (): boolean => fs.existsSync(rig.restored('global/pg_control'))

/** What somebody else might do to a file that was restored already. */
function spoil(random: SeededRandom, file: string): void {
  if (!fs.existsSync(file)) return
  if (random.int(2) === 0) fs.rmSync(file)
  else fs.writeFileSync(file, Buffer.alloc(fs.statSync(file).size + 1 + random.int(3 * PAGE), 'stale'))
}

test(`${CHAINS} chains that broke off at any part, several times, go on to the same bytes`, async () => {
  const random = seededRandom('chain-resume')
  let continued = 0
  for (let count = 0; count < CHAINS; count++) {
    const chain = makeChain(random)
    const target = chain.at(-1)!
    for (let tries = 1 + random.int(3); tries > 0; tries--) {
      const broken = chain[random.int(chain.length)]!
      const part = rig.stored(broken.parts[random.int(broken.parts.length)]!, broken.name)
      const bytes = fs.readFileSync(part)
      const info = fs.statSync(part)
      const damaged = Buffer.from(bytes)
      // the size stays, and with the time it had: only what comes after this part is unread
      damaged.fill(0xff, random.int(bytes.length - 1024))
      fs.writeFileSync(part, damaged)
      fs.utimesSync(part, info.atime, info.mtime)
      await rig.fetch({ isResume: true, concurrencyMax: 1 + random.int(2) }, target.name).catch(() => {})
      fs.writeFileSync(part, bytes)
      fs.utimesSync(part, info.atime, info.mtime)
      if (!isComplete()) for (const name of FILES) if (random.int(6) === 0) spoil(random, rig.restored(name))
    }
    // where nothing of the broken part was wanted, it was restored already
    if (!isComplete()) {
      rig.context.messages.length = 0
      await rig.fetch({ isResume: true }, target.name)
      if (rig.context.messages.some(message => message.includes('are complete'))) continued++
    }
    expectRestored(target)
    fs.rmSync(rig.target, { recursive: true })
  }
  expect(continued).toBeGreaterThan(0)
}, 120_000)

test('a file that grew by its last page alone has zeros between, whatever a try that broke off has left there', async () => {
  fs.rmSync(rig.folder.at('repository', 'basebackups_005'), { recursive: true, force: true })
  const name = FILES[0]!
  const [old, last] = [Buffer.alloc(PAGE, 'old'), Buffer.alloc(PAGE, 'new')]
  const increment: Increment = { sizeBytes: 6 * PAGE, pages: new Map([[5, last]]) }
  const version = { name: '/PG_VERSION', content: '15\n' }
  const inPart = (content: Buffer): Record<string, MadeMember[]> => ({
    'part_001.tar': [version, { name: `/${name}`, content, mode: 0o600 }],
  })
  write(0, inPart(old), { '/PG_VERSION': {}, [`/${name}`]: {} }, true)
  write(1, inPart(encode(increment)), { '/PG_VERSION': {}, [`/${name}`]: { IsIncremented: true } }, true)
  const part = rig.stored('part_001.tar', nameOf(0))
  const bytes = fs.readFileSync(part)
  fs.writeFileSync(part, Buffer.alloc(bytes.length, 0xff))
  await expect(rig.fetch({ concurrencyMax: 1 }, nameOf(1))).rejects.toThrow()
  fs.writeFileSync(part, bytes)
  const left = fs.readFileSync(rig.restored(name))
  left.fill('stale', PAGE, 5 * PAGE)
  fs.writeFileSync(rig.restored(name), left)
  await rig.fetch({ isResume: true }, nameOf(1))
  expect(apply(old, increment).equals(fs.readFileSync(rig.restored(name)))).toBe(true)
})
