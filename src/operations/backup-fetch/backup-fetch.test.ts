import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fs from 'node:fs'
import { FetchRig, FULL, fullBackup } from '../../../test/support/fetch-rig.ts'
import { LABEL, type MadeBackup, makeTar } from '../../../test/support/made-backup.ts'

const STATE = 'wal-g_fetch_state'
let rig: FetchRig

beforeEach(async () => {
  rig = await FetchRig.open()
})
afterEach(() => rig.close())

describe('a whole restore', () => {
  test('ends with 0700, pg_control in place and nothing of its own left', async () => {
    rig.make({ ...fullBackup, hasManifest: true })
    await rig.fetch({ isDurable: true })
    expect(rig.read('base/5/2')).toBe('two'.repeat(90_000))
    expect(rig.read('global/pg_control')).toBe('control')
    expect(fs.statSync(rig.target).mode & 0o7777).toBe(0o700)
    expect(fs.readdirSync(rig.target).sort()).toEqual(
      ['PG_VERSION', 'backup_label', 'backup_manifest', 'base', 'global', 'pg_wal', 'tablespace_map'].sort(),
    )
  })

  test('logs what the original logs', async () => {
    rig.make(fullBackup)
    await rig.fetch({}, 'LATEST')
    expect(rig.context.messages.slice(0, 3)).toEqual([
      'INFO: Selecting the latest backup...',
      'INFO: Backup to fetch will be searched in storages: [default]',
      `INFO: LATEST backup is: '${FULL}'`,
    ])
    expect(rig.context.messages).toContain('INFO: Finished extraction of part_003.tar')
    expect(rig.context.messages.at(-2)).toBe('INFO: \nBackup extraction complete.')
    expect(rig.context.messages.at(-1)).toMatch(
      /^INFO: Backup base_\S+ is restored in ".+", every check passed\.$/,
    )
  })

  test('makes pg_wal when a symlinked one is missing from the backup', async () => {
    const members = fullBackup.parts['part_001.tar']!.filter(({ name }) => name !== '/pg_wal')
    rig.make({ ...fullBackup, parts: { ...fullBackup.parts, 'part_001.tar': members } })
    await rig.fetch()
    expect(fs.statSync(rig.restored('pg_wal')).isDirectory()).toBe(true)
  })

  test('takes names without slash, with ./ and an archive without end, as remote backups have them', async () => {
    rig.make({
      name: FULL,
      parts: {
        'part_001.tar': [
          { name: './base/5/1', content: 'one' },
          { name: 'backup_label', content: LABEL },
          { name: 'global/pg_control', content: 'control of the part' },
        ],
        'pg_control.tar': [{ name: 'global/pg_control', content: 'control' }],
      },
      files: { 'base/5/1': {}, backup_label: {} },
    })
    fs.writeFileSync(
      rig.stored('pg_control.tar'),
      makeTar([{ name: 'global/pg_control', content: 'control' }], false).subarray(0, 519),
    )
    await rig.fetch()
    expect([rig.read('base/5/1'), rig.read('global/pg_control')]).toEqual(['one', 'control'])
  })

  test('a file that two parts hold is written by one of them', async () => {
    const twice = { name: '/base/5/1', content: 'one'.repeat(100_000) }
    rig.make({
      ...fullBackup,
      parts: { ...fullBackup.parts, 'part_004.tar': [twice], 'part_005.tar': [twice] },
    })
    fs.rmSync(rig.stored('part_001.tar'))
    fs.writeFileSync(rig.stored('part_001.tar'), makeTar(fullBackup.parts['part_001.tar']!.slice(0, 6)))
    await rig.fetch()
    expect(rig.read('base/5/1')).toBe('one'.repeat(100_000))
  })

  test('links and pipes are left out and named', async () => {
    const odd = [
      { name: '/link', kind: 'symlink', linkName: 'link' },
      { name: '/pipe', kind: 'fifo' },
    ] as const
    rig.make({ ...fullBackup, parts: { ...fullBackup.parts, 'part_006.tar': odd } })
    await rig.fetch()
    expect(fs.existsSync(rig.restored('link'))).toBe(false)
    expect(rig.context.messages.find(message => message.startsWith('WARNING'))).toContain('"link", "pipe"')
  })

  test('a foreign object among the parts is named and left alone', async () => {
    rig.make(fullBackup)
    fs.writeFileSync(rig.stored('note.txt'), 'hello')
    await rig.fetch()
    expect(rig.context.messages.find(message => message.startsWith('WARNING'))).toContain('"note.txt"')
  })
})

describe('what is missing is an error, and the directory does not look complete', () => {
  test('a deleted part that TarFileSets names', async () => {
    rig.make(fullBackup)
    fs.rmSync(rig.stored('part_003.tar'))
    const error = await rig.failure(rig.fetch())
    expect([error.code, error.message]).toEqual([
      'INTEGRITY',
      `part "part_003.tar" of backup "${FULL}" is missing`,
    ])
    expect(fs.existsSync(rig.target)).toBe(false)
  })

  test('a member that no part holds', async () => {
    rig.make({ ...fullBackup, files: { '/base/5/1': {}, '/base/5/2': {}, '/base/5/3': {} } })
    const error = await rig.failure(rig.fetch())
    expect(error.code).toBe('INTEGRITY')
    expect(error.message).toContain('"base/5/3"')
  })

  for (const part of ['pg_control.tar', 'backup_label.tar']) {
    test(`a deleted ${part}`, async () => {
      rig.make(fullBackup)
      fs.rmSync(rig.stored(part))
      const error = await rig.failure(rig.fetch())
      expect(error.code).toBe('INTEGRITY')
      expect(error.message).toContain(part === 'pg_control.tar' ? 'Expect pg_control archive' : part)
    })
  }

  test('a part that the sum of sizes misses, when nothing lists the files', async () => {
    rig.make({ ...fullBackup, files: null, sentinel: { FilesMetadataDisabled: true } })
    fs.rmSync(rig.stored('part_003.tar'))
    expect((await rig.failure(rig.fetch())).code).toBe('INTEGRITY')
  })

  test('an object of the content manifest, before anything is written', async () => {
    rig.make({ ...fullBackup, hasManifest: true, files: null, sentinel: { FilesMetadataDisabled: true } })
    fs.rmSync(rig.stored('part_003.tar'))
    expect((await rig.failure(rig.fetch())).message).toContain('"part_003.tar"')
    expect(fs.existsSync(rig.target)).toBe(false)
  })
})

const without = (parts: MadeBackup['parts'], ...names: string[]): MadeBackup['parts'] =>
  Object.fromEntries(Object.entries(parts).filter(([name]) => !names.includes(name)))

describe('a mask', () => {
  test('restores the matching files only, without backup_manifest', async () => {
    rig.make(fullBackup)
    await rig.fetch({ mask: 'base/5/*' })
    expect(fs.readdirSync(rig.restored('base/5')).sort()).toEqual(['1', '2'])
    expect(fs.existsSync(rig.restored('PG_VERSION'))).toBe(false)
    expect(fs.existsSync(rig.restored('backup_manifest'))).toBe(false)
    expect(fs.existsSync(rig.restored(STATE))).toBe(false)
  })

  test('that takes in global restores pg_control', async () => {
    rig.make(fullBackup)
    await rig.fetch({ mask: 'global/*' })
    expect(rig.read('global/pg_control')).toBe('control')
  })

  test('needs nothing of parts that hold none of its files', async () => {
    rig.make({ ...fullBackup, parts: without(fullBackup.parts, 'backup_label.tar') })
    await rig.fetch({ mask: 'PG_VERSION' })
    expect(rig.read('PG_VERSION')).toBe('15\n')
  })
})
