import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fs from 'node:fs'
import { DELTA, deltaOf, FetchRig, FULL, fullBackup, increment } from '../../../test/support/fetch-rig.ts'
import type { MadeBackup } from '../../../test/support/made-backup.ts'

const STATE = 'wal-g_fetch_state'
let rig: FetchRig

beforeEach(async () => {
  rig = await FetchRig.open()
})
afterEach(() => rig.close())

describe('damage is an error that names the file or the object', () => {
  test('a flipped bit in a file, by its hash', async () => {
    rig.make({ ...fullBackup, hasManifest: true })
    const bytes = fs.readFileSync(rig.stored('part_003.tar'))
    bytes[100_000]! ^= 1
    fs.writeFileSync(rig.stored('part_003.tar'), bytes)
    const error = await rig.failure(rig.fetch())
    expect(error.code).toBe('CHECKSUM_MISMATCH')
    expect(error.message).toContain('"base/5/2" in "part_003.tar"')
  })

  test('a flipped bit outside of any file, by the hash of the object', async () => {
    rig.make({ ...fullBackup, hasManifest: true })
    const bytes = fs.readFileSync(rig.stored('part_003.tar'))
    // the owner in the header and its checksum: the tar itself stays valid
    bytes[115] = 0x31
    const sum = bytes
      .subarray(0, 512)
      .reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
    bytes.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
    fs.writeFileSync(rig.stored('part_003.tar'), bytes)
    const error = await rig.failure(rig.fetch())
    expect(error.code).toBe('CHECKSUM_MISMATCH')
    expect(error.message).toContain('tar_partitions/part_003.tar"')
  })

  test('a cut part', async () => {
    rig.make(fullBackup)
    fs.truncateSync(rig.stored('part_003.tar'), 200_000)
    expect((await rig.failure(rig.fetch())).code).toBe('FORMAT_TRUNCATED')
  })

  test('an empty part', async () => {
    rig.make(fullBackup)
    fs.truncateSync(rig.stored('part_003.tar'), 0)
    expect((await rig.failure(rig.fetch())).code).toBe('FORMAT_TRUNCATED')
  })

  test('two parts that changed places', async () => {
    const one = { name: '/base/5/3', content: 'three'.repeat(18_000) }
    const other = { name: '/base/5/4', content: 'fours'.repeat(18_000) }
    rig.make({
      ...fullBackup,
      hasManifest: true,
      parts: { ...fullBackup.parts, 'part_004.tar': [one], 'part_005.tar': [other] },
    })
    fs.renameSync(rig.stored('part_004.tar'), rig.stored('x'))
    fs.renameSync(rig.stored('part_005.tar'), rig.stored('part_004.tar'))
    fs.renameSync(rig.stored('x'), rig.stored('part_005.tar'))
    expect((await rig.failure(rig.fetch())).code).toBe('INTEGRITY')
  })

  test('a content manifest that is lost or damaged, unless it is to be ignored', async () => {
    rig.make({ ...fullBackup, hasManifest: true })
    const manifest = rig.folder.at('repository', 'basebackups_005', FULL, 'content_manifest.jsonl')
    const text = fs.readFileSync(manifest, 'utf8')
    for (const spoil of [
      () => fs.writeFileSync(manifest, text.replace('part_001', 'part_009')),
      () => fs.rmSync(manifest),
    ]) {
      spoil()
      const error = await rig.failure(rig.fetch())
      expect([error.code, error.hint]).toEqual([
        'BACKUP_BROKEN',
        expect.stringContaining('--ignore-content-manifest'),
      ])
    }
    await rig.fetch({ ignoresContentManifest: true })
    expect(rig.read('base/5/1')).toBe('one'.repeat(5000))
  })

  test('damage is tried once again, then believed', async () => {
    rig.make(fullBackup)
    fs.truncateSync(rig.stored('part_003.tar'), 200_000)
    await rig.failure(rig.fetch({ retriesMax: 5 }))
    expect(
      rig.context.messages.filter(message => message.includes('part_003.tar failed to download')),
    ).toHaveLength(1)
  })
})

describe('the list of files', () => {
  test('missing from a full backup: everything is restored, with a WARNING', async () => {
    rig.make({ ...fullBackup, files: null })
    await rig.fetch()
    expect(rig.read('base/5/1')).toBe('one'.repeat(5000))
    expect(rig.context.messages.find(message => message.startsWith('WARNING'))).toContain('files metadata')
  })

  test('a name in it is damaged: the list is blamed, not the content manifest, which has the file', async () => {
    rig.make({ ...fullBackup, hasManifest: true })
    const list = rig.folder.at('repository', 'basebackups_005', FULL, 'files_metadata.json')
    const text = fs.readFileSync(list, 'utf8')
    fs.writeFileSync(list, text.replaceAll('base/5/1', 'base/5/7'))
    const { code, message, hint } = await rig.failure(rig.fetch())
    expect([code, hint]).toEqual(['BACKUP_BROKEN', 'restore another backup'])
    expect(message).toMatch(/files_metadata\.json" does not list ".*base\/5\/1"/)
  })

  test('missing from a delta: an error', async () => {
    rig.make(fullBackup)
    rig.make(deltaOf({ '/base/5/1': { IsSkipped: true } }, {}))
    fs.rmSync(rig.folder.at('repository', 'basebackups_005', DELTA, 'files_metadata.json'))
    expect((await rig.failure(rig.fetch({}, DELTA))).code).toBe('BACKUP_BROKEN')
  })
})

describe('a chain', () => {
  const paged: MadeBackup = {
    ...fullBackup,
    parts: { ...fullBackup.parts, 'part_007.tar': [{ name: '/base/5/9', content: 'a'.repeat(3 * 8192) }] },
  }

  test('takes skipped files from the parent, patches incremented ones, leaves out what the delta does not list', async () => {
    rig.make(paged)
    rig.make(
      deltaOf(
        { '/base/5/1': { IsSkipped: true }, '/base/5/9': { IsIncremented: true }, '/new': {} },
        {
          'part_001.tar': [
            { name: '/new', content: 'new' },
            {
              name: '/base/5/9',
              content: increment(4 * 8192, [
                [1, 'b'],
                [3, 'd'],
              ]),
            },
          ],
        },
      ),
    )
    await rig.fetch({ checksums: 'sha256' }, DELTA)
    expect(rig.read('base/5/9')).toBe(['a', 'b', 'a', 'd'].map(fill => fill.repeat(8192)).join(''))
    expect([rig.read('base/5/1').length, rig.read('new')]).toEqual([15_000, 'new'])
    expect(fs.existsSync(rig.restored('base/5/2'))).toBe(false)
    expect(
      JSON.parse(rig.read('backup_manifest')).Files.find(
        (file: { Path: string }) => file.Path === 'base/5/9',
      ),
    ).toMatchObject({
      Size: 4 * 8192,
      'Checksum-Algorithm': 'SHA256',
      Checksum: new Bun.CryptoHasher('sha256').update(rig.read('base/5/9')).digest('hex'),
    })
    expect(rig.context.messages).toContain(
      `INFO: ${FULL} fetched. Upgrading from LSN 0/2000028 to LSN 0/4000028 `,
    )
  })

  test('an increment whose member is missing is an error', async () => {
    rig.make(paged)
    rig.make(deltaOf({ '/base/5/9': { IsIncremented: true } }, { 'part_001.tar': [] }))
    const error = await rig.failure(rig.fetch({}, DELTA))
    expect([error.code, error.facts['file']]).toEqual(['INTEGRITY', 'base/5/9'])
  })

  test('a skipped file that the parent does not have is an error', async () => {
    rig.make(paged)
    rig.make(deltaOf({ '/base/5/77': { IsSkipped: true } }, {}))
    expect((await rig.failure(rig.fetch({}, DELTA))).facts['file']).toBe('base/5/77')
  })

  test('a parent that is missing, or another one of that name, is an error', async () => {
    rig.make(deltaOf({}, {}))
    expect((await rig.failure(rig.fetch({}, DELTA))).code).toBe('CHAIN_BROKEN')
    rig.make({ ...paged, sentinel: { LSN: 5 } })
    expect((await rig.failure(rig.fetch({}, DELTA))).code).toBe('CHAIN_BROKEN')
  })

  test('pg_control of the parent is never put in place', async () => {
    rig.make(paged)
    rig.make(
      deltaOf(
        { '/base/5/9': { IsIncremented: true } },
        { 'part_001.tar': [{ name: '/base/5/9', content: 'this is no increment' }] },
      ),
    )
    expect((await rig.failure(rig.fetch({}, DELTA))).code).toBe('FORMAT_INVALID')
    expect(fs.existsSync(rig.restored(STATE))).toBe(true)
  })
})
