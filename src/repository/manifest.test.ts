import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { collect, streamOf } from '../kit/bytes.ts'
import { ContentManifest, type ScannedManifestFile } from './manifest.ts'
import { decodeContentManifest, encodeContentManifest, readManifest } from './manifest-document.ts'

const HASH = '00112233445566778899aabbccddeeff'
const header = { backup: 'base_000000010000000000000002', hashAlgorithm: 'xxh3-128' }

function example(): ContentManifest {
  const manifest = new ContentManifest(header)
  manifest.addObject({ key: 'tar_partitions/part_001.tar.lz4', sizeBytes: 262_900_000_000, hash: HASH })
  manifest.addObject({ key: 'tar_partitions/pg_control.tar.lz4', sizeBytes: 512, hash: HASH })
  manifest.addFile({
    name: '/PG_VERSION',
    object: 'tar_partitions/part_001.tar.lz4',
    sizeBytes: 3,
    hash: HASH,
  })
  manifest.addFile({
    name: '/global/pg_control',
    object: 'tar_partitions/pg_control.tar.lz4',
    sizeBytes: 8192,
    hash: HASH,
  })
  return manifest
}

async function encode(manifest: ContentManifest): Promise<string> {
  return new TextDecoder().decode(await collect(encodeContentManifest(manifest), 1 << 24))
}

function decode(...chunks: string[]): Promise<ContentManifest> {
  const bytes = chunks.map(chunk => new TextEncoder().encode(chunk))
  return decodeContentManifest('x/content_manifest.jsonl', streamOf(...bytes))
}

test('the document is what docs/FORMAT.md says', async () => {
  expect(await encode(example())).toBe(
    '{"format":"wal-g content manifest","version":1,"backup":"base_000000010000000000000002","hash":"xxh3-128"}\n' +
      `{"object":0,"key":"tar_partitions/part_001.tar.lz4","size":262900000000,"hash":"${HASH}"}\n` +
      `{"object":1,"key":"tar_partitions/pg_control.tar.lz4","size":512,"hash":"${HASH}"}\n` +
      `{"file":"/PG_VERSION","in":0,"size":3,"hash":"${HASH}"}\n` +
      `{"file":"/global/pg_control","in":1,"size":8192,"hash":"${HASH}"}\n` +
      '{"objects":2,"files":2}\n',
  )
})

test('what the next delta wants to know travels along, by the fast way and by the general one', async () => {
  const key = 'tar_partitions/part_001.tar.lz4'
  const names = ['/base/5/1259', '/base/5/Ünï']
  const databases = new Map([
    [5, { tablespace: 1663, xmin: 3 }],
    [16_385, { tablespace: 1663, xmin: 4_294_967_295 }],
  ])
  const text = new TextDecoder().decode(
    await collect(
      encodeContentManifest({
        header: { ...header, walkedNs: 1_795_000_000_123_456_789n, databases },
        filesCount: 4,
        objects: () => [{ key, sizeBytes: 1, hash: HASH }],
        files: () =>
          names.flatMap(name => [
            { name, object: key, sizeBytes: 16, hash: HASH, fileSizeBytes: 24_576, usedBytes: 8192 },
            {
              name: `${name}.1`,
              object: key,
              sizeBytes: 8192,
              hash: HASH,
              zeroes: new Uint32Array([1, 2, 40, 1]),
            },
          ]),
        kept: () => names.map(name => ({ name: `${name}.2`, sizeBytes: 16_384, usedBytes: 0 })),
      }),
      1 << 20,
    ),
  )
  expect(text).toContain(',"databases":{"5":1663,"16385":1663},"databaseXmins":{"5":3,"16385":4294967295}}\n')
  expect(text).toContain(`"hash":"${HASH}","fileSize":24576,"used":8192}`)
  expect(text).toContain('{"kept":"/base/5/1259.2","size":16384,"used":0}')
  expect(text).toEndWith('{"objects":1,"files":4,"kept":2}\n')
  expect(text).toContain(`"hash":"${HASH}","zeroes":[1,2,40,1]}`)
  const found: [string, string, number, number, number, string?][] = []
  const take =
    (kind: string) =>
    ({ bytes, nameFrom, nameTo, sizeBytes, fileSizeBytes, usedBytes, zeroes }: ScannedManifestFile): void => {
      const name = new TextDecoder().decode(bytes.subarray(nameFrom, nameTo))
      const more: [string?] = zeroes === undefined ? [] : [zeroes.join()]
      found.push([kind, name, sizeBytes, fileSizeBytes, usedBytes, ...more])
    }
  const read = async (document: string): Promise<bigint | undefined> => {
    let walkedNs: bigint | undefined
    await readManifest('x', streamOf(new TextEncoder().encode(document)), opened => {
      walkedNs = opened.walkedNs
      expect(opened.databases).toEqual(databases)
      return { takeObject: () => undefined, takeFile: take('file'), takeKept: take('kept') }
    })
    return walkedNs
  }
  expect(await read(text)).toBe(1_795_000_000_123_456_789n)
  expect(found).toEqual([
    ...names.flatMap((name): [string, string, number, number, number, string?][] => [
      ['file', name, 16, 24_576, 8192],
      ['file', `${name}.1`, 8192, -1, -1, '1,2,40,1'],
    ]),
    ...names.map((name): [string, string, number, number, number] => ['kept', `${name}.2`, 16_384, -1, 0]),
  ])
  const cut = text.replace('{"kept":"/base/5/1259.2","size":16384,"used":0}\n', '')
  await expect(read(cut)).rejects.toThrow('counts of the last line')
  await expect(read(text.replace('"used":8192', '"used":-1'))).rejects.toThrow('used')
  for (const wrong of ['null', '{"x":1}', '{"5":-1}', '{"5":"1663"}']) {
    const document = text.replace('{"5":1663,"16385":1663}', wrong)
    await expect(read(document)).rejects.toThrow(/databases|JSON/)
    const other = text.replace('{"5":3,"16385":4294967295}', wrong)
    await expect(read(other)).rejects.toThrow(/databaseXmins|JSON/)
  }
  for (const runs of ['[1]', '[1,0]', '[5,2,6,1]', '[1,-1]', '{}', '[4294967296,1]', '[1,4294967297]'])
    await expect(read(text.replace('[1,2,40,1]', runs))).rejects.toThrow('zeroes')
})

test('a manifest of a version that knows no xmin tells its databases all the same', async () => {
  const text = await encode(example())
  const older = text.replace('"xxh3-128"}', '"xxh3-128","databases":{"5":1663,"16385":16400}}')
  const { header: read } = await decode(older)
  expect(read.databases).toEqual(
    new Map([
      [5, { tablespace: 1663 }],
      [16_385, { tablespace: 16_400 }],
    ]),
  )
  const manifest = new ContentManifest(read)
  expect(await encode(manifest)).toStartWith(older.slice(0, older.indexOf('\n')))
})

test('a file is found by its name within its object', () => {
  const manifest = example()
  const part = 'tar_partitions/part_001.tar.lz4'
  const other = 'tar_partitions/pg_control.tar.lz4'
  manifest.addFile({ name: '/PG_VERSION', object: other, sizeBytes: 4, hash: HASH })
  expect(manifest.file(manifest.find('/PG_VERSION', part)).sizeBytes).toBe(3)
  expect(manifest.file(manifest.find('/PG_VERSION', other)).sizeBytes).toBe(4)
  expect(manifest.findBytes(new TextEncoder().encode('/PG_VERSION'), part)).toBe(0)
  expect(manifest.find('/global/pg_control', part)).toBe(-1)
  expect(manifest.find('/nowhere', part)).toBe(-1)
  expect(manifest.find('/PG_VERSION', 'nowhere')).toBe(-1)
  expect([...manifest.filesOf(other)]).toEqual([1, 2])
  expect(manifest.object(other)?.sizeBytes).toBe(512)
})

test('every cut of the document is reported', async () => {
  const text = await encode(example())
  for (let length = 0; length < text.length; length += 1) {
    await expect(decode(text.slice(0, length))).rejects.toMatchObject({
      code: 'BACKUP_BROKEN',
      message: expect.stringContaining('x/content_manifest.jsonl'),
    })
  }
})

test('lines that contradict each other are reported', async () => {
  const lines = (await encode(example())).trimEnd().split('\n')
  const without = (index: number): string => `${lines.filter((_, line) => line !== index).join('\n')}\n`
  for (let index = 0; index < lines.length; index += 1) {
    await expect(decode(without(index))).rejects.toMatchObject({ code: 'BACKUP_BROKEN' })
  }
  await expect(decode(`${lines.join('\n')}\n${lines.at(-1)}\n`)).rejects.toMatchObject({
    code: 'BACKUP_BROKEN',
  })
  const later = lines.join('\n').replace('"version":1', '"version":2')
  await expect(decode(`${later}\n`)).rejects.toMatchObject({ code: 'BACKUP_BROKEN' })
})

test('every manifest comes back from its lines, wherever they are cut', async () => {
  const files = fc.array(
    fc.record({
      name: fc.string({ unit: 'grapheme', maxLength: 20 }),
      in: fc.integer({ min: 0, max: 2 }),
      sizeBytes: fc.maxSafeNat(),
      hash: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => bytes.toHex()),
    }),
    { maxLength: 30 },
  )
  await fc.assert(
    fc.asyncProperty(files, fc.integer({ min: 1, max: 99 }), async (given, chunkLength) => {
      const manifest = new ContentManifest(header)
      for (let number = 0; number < 3; number += 1) {
        manifest.addObject({ key: `part_${number}`, sizeBytes: number, hash: HASH })
      }
      for (const file of given) manifest.addFile({ ...file, object: `part_${file.in}` })
      const bytes = new TextEncoder().encode(await encode(manifest))
      async function* chunks(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < bytes.length; at += chunkLength) yield bytes.subarray(at, at + chunkLength)
      }
      const again = await decodeContentManifest('x', chunks())
      expect(again.header).toEqual(header)
      expect(again.objects()).toEqual(manifest.objects())
      expect([...again.files()]).toEqual([...manifest.files()])
    }),
    { seed },
  )
})
