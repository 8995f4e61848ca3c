import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fs from 'node:fs'
import { DELTA, deltaOf, FetchRig, fullBackup, increment } from '../../../../test/support/fetch-rig.ts'
import type { MadeBackup } from '../../../../test/support/made-backup.ts'

const STATE = 'wal-g_fetch_state'
let rig: FetchRig

beforeEach(async () => {
  rig = await FetchRig.open()
})
afterEach(() => rig.close())

describe('an interrupted fetch', () => {
  async function interrupt(given: MadeBackup = fullBackup): Promise<void> {
    rig.make({ ...given, hasManifest: true })
    const bytes = fs.readFileSync(rig.stored('part_001.tar'))
    fs.writeFileSync(
      rig.stored('part_001.tar'),
      bytes.map((byte, at) => (at === bytes.length - 2000 ? byte ^ 1 : byte)),
    )
    // the larger part_003 comes first
    await rig.failure(rig.fetch({ isDurable: true, concurrencyMax: 1 }))
    fs.writeFileSync(rig.stored('part_001.tar'), bytes)
    rig.context.messages.length = 0
  }

  test('is not begun again by accident, and the hint says how to go on', async () => {
    await interrupt()
    const error = await rig.failure(rig.fetch())
    expect([error.code, error.hint]).toEqual(['TARGET_NOT_EMPTY', expect.stringContaining('--resume')])
  })

  test('goes on with --resume without reading complete parts again', async () => {
    await interrupt()
    await rig.fetch({ isResume: true, isDurable: true })
    expect(rig.context.messages).not.toContain('INFO: Finished extraction of part_003.tar')
    expect(rig.context.messages).toContain('INFO: Finished extraction of part_001.tar')
    expect([rig.read('base/5/1').length, rig.read('base/5/2').length, rig.read('global/pg_control')]).toEqual(
      [15_000, 270_000, 'control'],
    )
    expect(fs.existsSync(rig.restored(STATE))).toBe(false)
    expect(JSON.parse(rig.read('backup_manifest')).Files).toHaveLength(6)
  })

  for (const [what, spoil] of [
    ['changed', (file: string) => fs.writeFileSync(file, 'x'.repeat(270_000))],
    ['cut', (file: string) => fs.truncateSync(file, 5)],
    ['removed', (file: string) => fs.rmSync(file)],
  ] as const) {
    test(`reads a part again whose file was ${what}`, async () => {
      await interrupt()
      spoil(rig.restored('base/5/2'))
      await rig.fetch({ isResume: true, isDurable: true })
      expect(rig.context.messages).toContain('INFO: Finished extraction of part_003.tar')
      expect(rig.read('base/5/2')).toBe('two'.repeat(90_000))
    })
  }

  test('makes a directory again that is gone since, with its mode, and reads nothing again for it', async () => {
    const part = fullBackup.parts['part_003.tar']!
    const folder = { name: '/pg_twophase', kind: 'directory' } as const
    await interrupt({ ...fullBackup, parts: { ...fullBackup.parts, 'part_003.tar': [...part, folder] } })
    const { mode } = fs.statSync(rig.restored('pg_twophase'))
    // an empty one that no file stands for: --into-existing takes it away before it goes on
    fs.rmdirSync(rig.restored('pg_twophase'))
    await rig.fetch({ isResume: true, isDurable: true })
    expect(fs.statSync(rig.restored('pg_twophase')).mode).toBe(mode)
    expect(rig.context.messages).not.toContain('INFO: Finished extraction of part_003.tar')
  })

  test('of another backup is refused', async () => {
    await interrupt()
    rig.make({ ...fullBackup, name: 'base_000000010000000000000009' })
    expect((await rig.failure(rig.fetch({ isResume: true }, 'base_000000010000000000000009'))).code).toBe(
      'TARGET_MISMATCH',
    )
  })

  test('of a chain goes on after the delta, even with a half-filled file', async () => {
    const nine = { name: '/base/5/9', content: 'a'.repeat(300 * 8192) }
    rig.make({ ...fullBackup, parts: { ...fullBackup.parts, 'part_007.tar': [nine] } })
    const pages = increment(2 * 8192, [
      [0, 'b'],
      [4, 'd'],
    ])
    rig.make(
      deltaOf(
        { '/base/5/1': { IsSkipped: true }, '/base/5/9': { IsIncremented: true } },
        { 'part_002.tar': [{ name: '/base/5/9', content: pages }] },
      ),
    )
    const good = fs.readFileSync(rig.stored('part_007.tar'))
    fs.writeFileSync(rig.stored('part_007.tar'), good.subarray(0, 512 + 9000))
    await rig.failure(rig.fetch({ isDurable: true }, DELTA))
    expect(fs.statSync(rig.restored('base/5/9')).size).toBe(5 * 8192)
    fs.writeFileSync(rig.stored('part_007.tar'), good)
    rig.context.messages.length = 0
    await rig.fetch({ isResume: true, isDurable: true }, DELTA)
    const extracted = rig.context.messages.filter(message => message.includes('Finished extraction of part_'))
    expect(extracted).toContain('INFO: Finished extraction of part_007.tar')
    expect(extracted).not.toContain('INFO: Finished extraction of part_002.tar')
    expect(rig.read('base/5/9')).toBe(
      `${'b'.repeat(8192)}${'a'.repeat(8192)}${'\0'.repeat(2 * 8192)}${'d'.repeat(8192)}`,
    )
  })

  test('of a chain reads the older backups again where a part of the delta must be read again', async () => {
    const nine = { name: '/base/5/9', content: 'a'.repeat(3 * 8192) }
    const eight = { name: '/base/5/8', content: 'e'.repeat(20 * 8192) }
    rig.make({
      ...fullBackup,
      parts: { ...fullBackup.parts, 'part_007.tar': [nine], 'part_008.tar': [eight] },
    })
    const files = {
      '/base/5/8': { IsIncremented: true },
      '/base/5/9': { IsIncremented: true },
    }
    rig.make(
      deltaOf(files, {
        'part_002.tar': [
          { name: '/base/5/8', content: increment(20 * 8192, [[7, 'f']]) },
          { name: '/base/5/9', content: increment(3 * 8192, [[1, 'b']]) },
        ],
      }),
    )
    const good = fs.readFileSync(rig.stored('part_007.tar'))
    fs.writeFileSync(rig.stored('part_007.tar'), good.subarray(0, 512 + 9000))
    // part_008, which is larger, is complete before
    await rig.failure(rig.fetch({ isDurable: true, concurrencyMax: 1 }, DELTA))
    fs.writeFileSync(rig.stored('part_007.tar'), good)
    // another object than the one that was read
    fs.utimesSync(rig.stored('part_002.tar', DELTA), 1_700_000_000, 1_700_000_000)
    rig.context.messages.length = 0
    await rig.fetch({ isResume: true, isDurable: true }, DELTA)
    for (const part of ['part_002', 'part_007', 'part_008']) {
      expect(rig.context.messages).toContain(`INFO: Finished extraction of ${part}.tar`)
    }
    expect(rig.read('base/5/8')).toBe(`${'e'.repeat(7 * 8192)}${'f'.repeat(8192)}${'e'.repeat(12 * 8192)}`)
    expect(rig.read('base/5/9')).toBe(['a', 'b', 'a'].map(fill => fill.repeat(8192)).join(''))
  })

  test('by a signal ends at once', async () => {
    rig.make(fullBackup)
    const fetched = rig.failure(rig.fetch())
    rig.context.abort.abort()
    expect((await fetched).code).toBe('CANCELLED')
  })
})
