import { expect, test } from 'bun:test'
import { streamOf } from '../kit/bytes.ts'
import { dropMemory, openMemoryDriver } from '../storage/drivers/memory.ts'
import { listWal, parseWalObjectName, type WalObjectKind } from './wal-catalog.ts'

const SEGMENT = '0000000100000000000000A4'

test.each([
  [`${SEGMENT}.lz4`, 'segment', SEGMENT, 'lz4'],
  [SEGMENT, 'segment', SEGMENT, ''],
  [`${SEGMENT}.`, 'segment', SEGMENT, ''],
  [`${SEGMENT}.partial.zst`, 'partial', `${SEGMENT}.partial`, 'zst'],
  [`${SEGMENT}.partial`, 'partial', `${SEGMENT}.partial`, ''],
  ['00000002.history.br', 'history', '00000002.history', 'br'],
  [`${SEGMENT}.00000028.backup.lzma`, 'backup', `${SEGMENT}.00000028.backup`, 'lzma'],
  [`${SEGMENT}.00000028.backup`, 'backup', `${SEGMENT}.00000028.backup`, ''],
  ['000000010000000000000010_delta.lz4', 'delta', '000000010000000000000010_delta', 'lz4'],
  [`${SEGMENT}.json`, 'metadata', SEGMENT, ''],
  [`${SEGMENT.slice(0, 23)}.json`, 'metadata', SEGMENT.slice(0, 23), ''],
  ['00000002.history.json', 'metadata', '00000002.history', ''],
  [`${SEGMENT.toLowerCase()}.lz4`, 'foreign', `${SEGMENT.toLowerCase()}.lz4`, ''],
  [`${SEGMENT}.zip`, 'foreign', `${SEGMENT}.zip`, ''],
  [`${SEGMENT}F.lz4`, 'foreign', `${SEGMENT}F.lz4`, ''],
  ['notes.json', 'foreign', 'notes.json', ''],
] as const)('%s is told by its name', (name, kind, file, extension) => {
  expect(parseWalObjectName(name)).toEqual({ kind: kind as WalObjectKind, file, extension })
})

test('the archive is listed with sizes, other folders are not', async () => {
  const storage = openMemoryDriver('default', 'wal-catalog-test')
  try {
    for (const key of [`wal_005/${SEGMENT}.lz4`, 'wal_005/below/x.lz4', 'basebackups_005/x.lz4']) {
      await storage.put(key, streamOf(new Uint8Array(5)))
    }
    const objects = await Array.fromAsync(listWal(storage))
    expect(objects).toMatchObject([{ kind: 'segment', key: `wal_005/${SEGMENT}.lz4`, sizeBytes: 5 }])
  } finally {
    dropMemory('wal-catalog-test')
  }
})
