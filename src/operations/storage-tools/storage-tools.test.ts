import { describe, expect, test } from 'bun:test'
import { faultyStorage } from '../../../test/doubles/faulty-storage.ts'
import { keysOf, memoryStorage, putObject, readObject } from '../../../test/support/stored-objects.ts'
import { streamOf } from '../../kit/bytes.ts'
import { createLogger, silentLogger } from '../../kit/log.ts'
import { silentProgress } from '../../kit/progress.ts'
import { checkReadable, checkWritable } from './access-check.ts'
import { copyObjectsByPrefix } from './copy-objects.ts'
import { listFolder } from './folder-listing.ts'
import { expandGlob } from './glob.ts'
import { putObject as putSealedObject } from './object-transfer.ts'
import { removeByPath } from './removal.ts'

const KEYS = ['a/b/1', 'a/b/2', 'a/c/1', 'a-b/1', 'k', 'z']

async function filled() {
  const storage = memoryStorage('s')
  for (const key of KEYS) await putObject(storage, key, key)
  return storage
}

describe('storage tools', () => {
  test('a folder is listed with its folders in front; below, one depth after the other', async () => {
    const storage = await filled()
    const names = async (prefix: string, isRecursive: boolean) =>
      (await listFolder(storage, prefix, { isRecursive })).map(({ kind, name }) => `${kind} ${name}`)
    expect(await names('', false)).toEqual(['folder a', 'folder a-b', 'object k', 'object z'])
    expect(await names('a', false)).toEqual(['folder b', 'folder c'])
    expect(await names('', true)).toEqual(
      ['k', 'z', 'a-b/1', 'a/b/1', 'a/b/2', 'a/c/1'].map(key => `object ${key}`),
    )
    expect(await names('nothing', false)).toEqual([])
  })

  test('a pattern is matched folder by folder', async () => {
    const storage = await filled()
    expect(await expandGlob(storage, 'a*')).toEqual({ objects: [], folders: ['a', 'a-b'] })
    expect(await expandGlob(storage, 'a/*/1')).toEqual({ objects: ['a/b/1', 'a/c/1'], folders: [] })
    expect(await expandGlob(storage, '[k-z]')).toEqual({ objects: ['k', 'z'], folders: [] })
    await expect(expandGlob(storage, '[')).rejects.toMatchObject({ code: 'USAGE' })
  })

  test('what is named is removed, an object before a folder of that name, and nothing else', async () => {
    const storage = await filled()
    expect(await removeByPath(storage, 'k', {})).toBe(1)
    expect(await removeByPath(storage, 'a/b', {})).toBe(2)
    await expect(removeByPath(storage, 'z/', {})).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    await expect(removeByPath(storage, '../z', {})).rejects.toMatchObject({ code: 'KEY_REFUSED' })
    expect(await keysOf(storage)).toEqual(['a-b/1', 'a/c/1', 'z'])
    expect(await removeByPath(storage, '/', {})).toBe(3)
  })

  test('a check of writing leaves nothing behind, also when it fails', async () => {
    for (const fault of [
      undefined,
      { operation: 'stat' },
      { operation: 'put', isAnswerLost: true },
    ] as const) {
      const storage = memoryStorage('s')
      const faulty = fault === undefined ? faultyStorage(storage) : faultyStorage(storage, fault)
      const check = checkWritable(faulty, {})
      if (fault === undefined) await check
      else await expect(check).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
      expect(await keysOf(storage)).toEqual([])
      faulty.verifyAllFaultsStruck()
    }
  })

  test('a check of reading names everything that is missing', async () => {
    const storage = await filled()
    await checkReadable(storage, ['k', 'a', 'a/b/1'], {})
    await expect(checkReadable(storage, ['k', 'x', 'y'], {})).rejects.toThrow('files are missing: x, y')
  })

  test('an object is not put beside or over another form of it unless that is asked for', async () => {
    const storage = memoryStorage('s')
    const put = (isCompressed: boolean, isForced: boolean) =>
      putSealedObject(storage, 'x', streamOf(new TextEncoder().encode('text')), {
        isEncrypted: true,
        isCompressed,
        isForced,
        codec: { compression: 'lz4' },
      })
    expect(await put(false, false)).toBe('x')
    await expect(put(false, false)).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
    await expect(put(true, false)).resolves.toBe('x.lz4')
    await expect(put(false, true)).resolves.toBe('x')
    expect(await readObject(storage, 'x')).toBe('text')
  })

  test('a copy under another key is refused where hashes of stored bytes would not be true any more', async () => {
    const source = memoryStorage('source')
    await putObject(source, 'basebackups_005/base_1/content_manifest.jsonl.lz4', 'm')
    const target = memoryStorage('target')
    const { signal } = new AbortController()
    const context = { source, target, log: silentLogger, progress: silentProgress, signal }
    const codec = { compression: 'lz4' } as const
    const sealed = copyObjectsByPrefix(context, { prefix: '', decryptedBy: codec, encryptedBy: codec })
    await expect(sealed).rejects.toMatchObject({ code: 'WRITE_REFUSED' })
    expect(await keysOf(target)).toEqual([])
  })

  test('a copy by prefix brings sentinels last, in their order', async () => {
    const source = memoryStorage('source')
    const sentinels = ['2', '1'].map(name => `basebackups_005/base_${name}_backup_stop_sentinel.json`)
    for (const key of [...sentinels, 'basebackups_005/base_1/metadata.json', 'wal_005/x']) {
      await putObject(source, key, 'x')
    }
    const lines: string[] = []
    const log = createLogger((_, message) => void lines.push(message))
    const { signal } = new AbortController()
    await copyObjectsByPrefix(
      { source, target: memoryStorage('target'), log, progress: silentProgress, signal },
      { prefix: '', decryptedBy: undefined, encryptedBy: undefined },
    )
    const copied = lines.flatMap(line => /^Copied '([^']*)'/.exec(line)?.[1] ?? [])
    expect(copied).toEqual(['wal_005/x', 'basebackups_005/base_1/metadata.json', ...sentinels])
    expect(lines.at(-1)).toBe('Successfully copied 4 objects')
  })
})
