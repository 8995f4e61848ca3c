import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { forwarded } from '../../../test/doubles/forwarded-storage.ts'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { changeWal } from '../../../test/support/change-wal.ts'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { PushRig } from '../../../test/support/push-rig.ts'
import { seededRandom } from '../../../test/support/seeded-random.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Storage } from '../../storage/storage.ts'

let rig: PushRig
let wal: string
let root: string
let context: TestContext

beforeEach(async () => {
  rig = await PushRig.open()
  wal = rig.wal
  root = rig.root
  context = rig.context
})
afterEach(() => rig.close())

const first = segmentName(1)

const writeSegment: PushRig['writeSegment'] = (...how) => rig.writeSegment(...how)
const push: PushRig['push'] = (...what) => rig.push(...what)
const archived: PushRig['archived'] = name => rig.archived(name)
const objects = (): string[] => rig.objects()

describe('a push', () => {
  test('stores the file as one sealed object that opens to the same bytes', async () => {
    const path = writeSegment(first)
    expect(await push(path)).toMatchObject({ name: first, kind: 'stored' })
    expect(objects()).toEqual([`${first}.lz4`])
    expect(await archived(first)).toEqual(walBytes(first))
    expect(context.messages).toContain(`INFO: FILE PATH: ${first}.lz4`)
  })

  test('takes any archive file: history, backup label, partial, empty', async () => {
    for (const [name, content] of [
      ['00000002.history', '1\t0/3000000\tno recovery target specified\n'],
      [`${first}.00000028.backup`, 'START WAL LOCATION: 0/1000028\n'],
      [`${first}.partial`, 'half'],
      ['empty', ''],
    ] as const) {
      writeFileSync(join(wal, name), content)
      await push(join(wal, name))
      expect(Buffer.from(await archived(name)).toString()).toBe(content)
    }
  })

  test('warns of a file with the name of a segment that no wal-fetch would give out', async () => {
    const whole = Buffer.from(walBytes(first))
    const path = writeSegment(first)
    await push(path)
    await push(writeSegment(segmentName(3)))
    expect(context.messages.filter(message => message.startsWith('WARNING'))).toEqual([])
    for (const [number, content, fault] of [
      [4, '', 'has 0 bytes, less than one page header'],
      [5, Buffer.alloc(whole.length), 'does not begin with the header of a segment'],
      [6, whole.subarray(0, MIB / 2), `has ${MIB / 2} bytes, its header says ${whole.length}`],
      [7, whole, 'holds the pages of another segment'],
    ] as const) {
      const name = segmentName(number)
      writeFileSync(join(wal, name), content)
      await push(join(wal, name))
      expect(context.messages).toContain(
        `WARNING: "${join(wal, name)}" ${fault}: it is archived as it is, and wal-fetch will refuse it`,
      )
      expect(Buffer.from(await archived(name)).equals(Buffer.from(content))).toBe(true)
    }
  })

  test('warns of a segment that is not written to its end, or damaged, and archives it', async () => {
    const older = walBytes(segmentName(1)).subarray(81_920)
    const spoiled = Buffer.from(walBytes(segmentName(5))).fill(0xaa, 81_920, 81_928)
    for (const [number, content, fault] of [
      [
        4,
        [walBytes(segmentName(4)).subarray(0, 81_920), older],
        'written up to byte 81920 only (LSN 0/414000)',
      ],
      [5, [spoiled], 'damaged from byte 81920 on (LSN 0/514000)'],
    ] as const) {
      const name = segmentName(number)
      writeFileSync(join(wal, name), Buffer.concat(content))
      context.messages.length = 0
      expect(await push(join(wal, name))).toMatchObject({ kind: 'stored' })
      const [warning = '', ...more] = context.messages.filter(message => message.startsWith('WARNING'))
      expect(more).toEqual([])
      expect(warning).toContain(`"${join(wal, name)}" is ${fault}`)
      expect(warning).toContain(number === 4 ? 'recovery ends there' : 'wal-fetch will refuse it')
      expect(warning.includes(`is archived as "${name}.partial"`)).toBe(number === 4)
      expect(Buffer.from(await archived(name)).equals(Buffer.concat(content))).toBe(true)
    }
  })

  test('warns of zeros behind what is no switch', async () => {
    writeFileSync(join(wal, first), Buffer.from(walBytes(first)).fill(0, 81_920))
    expect(await push(join(wal, first))).toMatchObject({ kind: 'stored' })
    const [warning] = context.messages.filter(message => message.startsWith('WARNING'))
    expect(warning).toContain('is written up to byte 81920 only (LSN 0/114000), zeros follow')
    expect(warning).toContain('recovery ends there')
  })

  test('says nothing of zeros behind a switch', async () => {
    const builder = new WalBuilder(1n)
    builder.add(new Uint8Array(90_000).fill(7))
    builder.switchSegment()
    writeFileSync(join(wal, first), builder.segments()[0]!.bytes)
    await push(join(wal, first))
    expect(context.messages.filter(message => message.startsWith('WARNING'))).toEqual([])
  })

  test('says nothing of a partial segment', async () => {
    const partial = `${segmentName(2)}.partial`
    const recycled = [walBytes(segmentName(2)).subarray(0, 81_920), walBytes(first).subarray(81_920)]
    writeFileSync(join(wal, partial), Buffer.concat(recycled))
    await push(join(wal, partial))
    expect(context.messages.filter(message => message.startsWith('WARNING'))).toEqual([])
  })

  test('names a missing file and leaves nothing', async () => {
    await expect(push(join(wal, first))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
    expect(objects()).toEqual([])
  })
})

describe('the overwrite guard', () => {
  test('takes the same content again as a success, whatever its compression', async () => {
    const path = writeSegment(first)
    await push(path)
    expect(await push(path)).toMatchObject({ kind: 'already-archived' })
    const zstd = await operationContext(root, { codec: { compression: 'zstd' } })
    expect(await push(path, {}, zstd)).toMatchObject({ kind: 'already-archived' })
    expect(objects()).toEqual([`${first}.lz4`])
    expect(context.messages).toContain(
      `INFO: WAL file '${path}' already archived with equal content, skipping`,
    )
  })

  test('refuses another content and keeps the archived one', async () => {
    const path = writeSegment(first)
    await push(path)
    writeSegment(first, { salt: 1 })
    await expect(push(path)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
    expect(await archived(first)).toEqual(walBytes(first))
  })

  test('switched off, replaces segments but never a history file', async () => {
    const path = writeSegment(first)
    await push(path)
    writeSegment(first, { salt: 1 })
    await push(path, { preventOverwrite: false })
    expect(await archived(first)).toEqual(walBytes(first, { salt: 1 }))
    const history = join(wal, '00000002.history')
    writeFileSync(history, 'one')
    await push(history)
    writeFileSync(history, 'two')
    await expect(push(history, { preventOverwrite: false })).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
  })

  for (const codec of [{ compression: 'lz4' }, { compression: 'zstd' }, { compression: 'none' }] as const) {
    test(`replaces an object that an interrupted upload cut short, and says so (${codec.compression})`, async () => {
      const given = await operationContext(root, { codec })
      const path = writeSegment(first)
      await push(path, {}, given)
      const object = join(root, 'wal_005', objects()[0] ?? '')
      const whole = readFileSync(object).length
      for (const size of [0, 7, Math.floor(whole / 2), whole - 1]) {
        truncateSync(object, size)
        given.messages.length = 0
        expect(await push(path, {}, given)).toMatchObject({ kind: 'stored' })
        expect(
          given.messages.some(message => message.startsWith('WARNING') && message.includes('incomplete')),
        ).toBe(true)
        expect(await archived(first)).toEqual(walBytes(first))
      }
    })
  }

  for (const codec of [{ compression: 'lz4' }, { compression: 'zstd' }, { compression: 'none' }] as const) {
    test(`tells a damaged object from one of another cluster (${codec.compression})`, async () => {
      const given = await operationContext(root, { codec })
      const path = writeSegment(first)
      await push(path, {}, given)
      rmSync(join(wal, 'walg_data'), { recursive: true })
      const key = `wal_005/${objects()[0]}`
      const whole = readFileSync(join(root, key))
      const flipped = Buffer.from(whole)
      flipped[8197]! ^= 0x10
      for (const content of [flipped, Buffer.concat([whole, Buffer.from('more')])]) {
        writeFileSync(join(root, key), content)
        const refused = expect(push(path, {}, given)).rejects
        await refused.toMatchObject({ code: 'WAL_OVERWRITE', hint: expect.stringContaining(`st rm ${key}`) })
        await expect(push(path, {}, given)).rejects.toThrow(
          `already archived as "${key}", and that object is damaged: `,
        )
        expect(readFileSync(join(root, key)).equals(content)).toBe(true)
      }
      writeFileSync(join(root, key), whole)
      writeSegment(first, { salt: 1 })
      await expect(push(path, {}, given)).rejects.toThrow('contents differ')
    })
  }

  test('names what is wrong with an object that is no whole segment of its name', async () => {
    const path = writeSegment(first)
    writeFileSync(path, Buffer.from(walBytes(first)).fill(0xaa, 81_920, 81_928))
    await push(path)
    writeSegment(first)
    await expect(push(path)).rejects.toThrow(
      `object is damaged: WAL segment ${first} changes its page magic at byte 81920`,
    )
  })

  test('finds a changed byte by the checksums of records where the form of the object has none', async () => {
    const given = await operationContext(root, { codec: { compression: 'none' } })
    const { name, bytes } = changeWal(seededRandom('a changed byte'), 30, 1)[0]!
    writeFileSync(join(wal, name), bytes)
    await push(join(wal, name), {}, given)
    const changed = Buffer.from(bytes)
    changed[500_000]! ^= 1
    writeFileSync(join(root, 'wal_005', name), changed)
    await expect(push(join(wal, name), {}, given)).rejects.toThrow(
      `object is damaged: WAL segment ${name} is damaged: `,
    )
  })

  test('does not replace a cut object whose bytes are of another content', async () => {
    const plain = await operationContext(root, { codec: { compression: 'none' } })
    const path = writeSegment(first)
    await push(path, {}, plain)
    truncateSync(join(root, 'wal_005', first), 300_000)
    writeSegment(first, { salt: 1 })
    await expect(push(path, {}, plain)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
  })

  test('where the object cannot be read back, the record of the same content allows it to be put again', async () => {
    const path = writeSegment(first)
    await push(path)
    const blind = await operationContext(root, { wrap: refuseReading })
    expect(await push(path, {}, blind)).toMatchObject({ kind: 'stored' })
    writeSegment(first, { salt: 1 })
    await expect(push(path, {}, blind)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
    expect(await archived(first)).toEqual(walBytes(first))
  })

  test('where the object cannot be read back and nothing was recorded, the push fails', async () => {
    const path = writeSegment(first)
    await push(path)
    rmSync(join(wal, 'walg_data'), { recursive: true })
    const blind = await operationContext(root, { wrap: refuseReading })
    await expect(push(path, {}, blind)).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
  })

  test('lets two pushes of one segment at once both succeed, or tells the loser that contents differ', async () => {
    const path = writeSegment(first)
    const other = await operationContext(root)
    const both = await Promise.all([push(path), push(path, {}, other)])
    expect(both.map(result => result.kind).sort()).toEqual(expect.arrayContaining(['stored']))
    expect(await archived(first)).toEqual(walBytes(first))
  })
})

function refuseReading(storage: Storage): Storage {
  const refuse = (): never => {
    throw new WalgError('ACCESS_DENIED', 'reading is not allowed')
  }
  return { ...forwarded(storage), get: refuse, openSource: refuse }
}

describe('WAL metadata', () => {
  test('INDIVIDUAL: one object per file', async () => {
    await push(writeSegment(first), { metadata: 'INDIVIDUAL' })
    const text = readFileSync(join(root, 'wal_005', `${first}.json`), 'utf8')
    expect(Object.keys(JSON.parse(text) as object)).toEqual([first])
  })

  test('BULK: collected until the last of sixteen', async () => {
    const names = [14, 15].map(number => segmentName(number))
    for (const name of names) await push(writeSegment(name), { metadata: 'BULK' })
    const text = readFileSync(join(root, 'wal_005', `${names[0]!.slice(0, 23)}.json`), 'utf8')
    expect(Object.keys(JSON.parse(text) as object)).toEqual(names)
    expect(readdirSync(join(wal, 'walg_data/walg_archive_status'))).toEqual([])
  })
})

describe('a segment of another cluster', () => {
  test('is warned about, and refused when the setting says so', async () => {
    await push(writeSegment(first))
    rmSync(join(wal, 'walg_data'), { recursive: true })
    const second = writeSegment(segmentName(2), { systemIdentifier: 42n })
    await expect(push(second, { requireSystemIdentifier: true })).rejects.toMatchObject({
      code: 'WAL_INVALID',
    })
    expect(objects()).toHaveLength(1)
    await push(second)
    expect(context.messages.some(message => message.startsWith('WARNING') && message.includes('42'))).toBe(
      true,
    )
    expect(objects()).toHaveLength(2)
  })

  test('does not make the archive its own once it was let in: that belongs to whoever came first', async () => {
    const stranger = writeSegment(segmentName(9), { systemIdentifier: 43n })
    for (const systemIdentifier of [41n, 42n]) {
      await push(writeSegment(segmentName(Number(systemIdentifier)), { systemIdentifier }))
      rmSync(join(wal, 'walg_data'), { recursive: true })
    }
    for (const founder of [41, 42]) {
      for (const name of objects()) utimesSync(join(root, 'wal_005', name), 2, 2)
      utimesSync(join(root, 'wal_005', `${segmentName(founder)}.lz4`), 1, 1)
      await expect(push(stranger, { requireSystemIdentifier: true })).rejects.toThrow(`belongs to ${founder}`)
    }
  })
})
