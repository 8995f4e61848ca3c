import { describe, expect, test } from 'bun:test'
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LATE_PARTS, makeBackup, makeTar } from '../../../../../test/support/made-backup.ts'
import { operationContext } from '../../../../../test/support/operation-context.ts'
import { tempDirectory } from '../../../../../test/support/temp-directory.ts'
import type { WalgError } from '../../../../kit/errors.ts'
import { toBackupName } from '../../../../repository/backup-name.ts'
import { readSentinel } from '../../../../repository/catalog.ts'
import { checkChain } from './chain-check.ts'

const NAME = toBackupName('base_000000010000000000000002')
const PARTS = {
  'part_001.tar': [{ name: '/base/1/1259', content: 'a'.repeat(100) }],
  'part_002.tar': [{ name: '/base/1/1249', content: 'b'.repeat(100) }],
  ...LATE_PARTS,
}
const ALL_BYTES = Object.values(PARTS).reduce((sum, members) => sum + makeTar(members).length, 0)

interface Made {
  readonly hasManifest: boolean
  readonly sentinel?: Readonly<Record<string, unknown>>
}

/** What is found of a backup of which `spoil` has had the folder; undefined: nothing. */
async function found(made: Made, spoil: (fileOf: (...names: string[]) => string) => void): Promise<unknown> {
  using place = tempDirectory('chain-check')
  makeBackup(place.path, { name: NAME, parts: PARTS, ...made })
  spoil((...names) => path.join(place.path, 'basebackups_005', NAME, ...names))
  const context = await operationContext(place.path)
  try {
    const document = await readSentinel(context.storage, NAME)
    await checkChain(context, [{ name: NAME, document }])
    return undefined
  } catch (error) {
    const { code, message } = error as WalgError
    return `${code}: ${message}`
  } finally {
    await context.storage.close()
  }
}

const OURS = { hasManifest: true }
const ORIGINALS = { hasManifest: false }
const flip = (file: string): void => {
  const bytes = readFileSync(file)
  const at = bytes.length >> 1
  bytes[at] = bytes[at]! ^ 0x80
  writeFileSync(file, bytes)
}

describe('a backup further down a chain', () => {
  test('that is as its documents say passes, and so does one that does not count all of its parts', async () => {
    for (const made of [OURS, ORIGINALS]) {
      expect(await found(made, () => {})).toBeUndefined()
      // the second one was copied, and encrypted anew
      for (const CompressedSize of [ALL_BYTES, Math.ceil(ALL_BYTES * 1.01)]) {
        expect(await found({ ...made, sentinel: { CompressedSize } }, () => {})).toBeUndefined()
      }
    }
  })

  test('with a part that is missing, empty or cut is broken', async () => {
    const part = 'part_001.tar'
    const sentinel = { CompressedSize: ALL_BYTES }
    const remove = (file: (...names: string[]) => string): void => rmSync(file('tar_partitions', part))
    const empty = (file: (...names: string[]) => string): void => truncateSync(file('tar_partitions', part))
    const cut = (file: (...names: string[]) => string): void =>
      truncateSync(file('tar_partitions', part), 1000)
    const counted = { ...ORIGINALS, sentinel }
    expect(await found(counted, empty)).toMatch(/BACKUP_BROKEN: .*part_001.* is empty/)
    expect(await found(counted, cut)).toMatch(/BACKUP_BROKEN: .*holds \d+ bytes, not/)
    expect(await found(ORIGINALS, remove)).toMatch(/BACKUP_BROKEN: .*part_001.* is missing/)
    for (const spoil of [empty, cut, remove]) {
      expect(await found(OURS, spoil)).toMatch(/BACKUP_BROKEN: .*part_001.* is missing or cut/)
    }
  })

  test('with a list of files that is missing, empty or garbled is broken', async () => {
    for (const made of [OURS, ORIGINALS]) {
      const list = 'files_metadata.json'
      expect(await found(made, file => rmSync(file(list)))).toMatch(
        /BACKUP_BROKEN: .*files_metadata.*missing/,
      )
      expect(await found(made, file => truncateSync(file(list)))).toMatch(/BACKUP_BROKEN: .*empty/)
      expect(await found(made, file => truncateSync(file(list), 300))).toMatch(/BACKUP_BROKEN: .*damaged/)
    }
  })

  test('with a content manifest that is missing, cut or garbled is broken', async () => {
    const manifest = 'content_manifest.jsonl'
    expect(await found(OURS, file => rmSync(file(manifest)))).toMatch(/BACKUP_BROKEN: .*content_manifest/)
    expect(await found(OURS, file => truncateSync(file(manifest), 99))).toMatch(/BACKUP_BROKEN: .*manifest/)
    expect(await found(OURS, file => flip(file(manifest)))).toMatch(
      /BACKUP_BROKEN: .*manifest.*cannot be used/,
    )
  })

  test('that was taken without a list of files needs none, nor does an old full backup', async () => {
    for (const sentinel of [{ FilesMetadataDisabled: true }, { Version: 0 }]) {
      const without = { ...ORIGINALS, sentinel }
      expect(await found(without, file => rmSync(file('files_metadata.json')))).toBeUndefined()
    }
  })
})
