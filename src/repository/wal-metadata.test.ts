import { expect, test } from 'bun:test'
import {
  endsWalMetadataBulk,
  formatWalMetadata,
  mergeWalMetadata,
  walMetadataBulkFile,
} from './wal-metadata.ts'

test('the metadata of a file is written as the original writes it', () => {
  expect(formatWalMetadata('00000001000000000000000A', 1795347702126302320n)).toBe(
    '{"00000001000000000000000A":{"created_time":"2026-11-22T11:41:42.12630232Z","date_fmt":"%Y-%m-%dT%H:%M:%S.%fZ"}}',
  )
})

test('pieces are joined in the order of their keys', () => {
  const later = { name: 'B', text: formatWalMetadata('B', 0n) }
  const earlier = { name: 'A', text: formatWalMetadata('A', 0n) }
  const joined = `${earlier.text.slice(0, -1)},${later.text.slice(1)}`
  expect(mergeWalMetadata([later, earlier])).toBe(joined)
})

test('a damaged piece is named', () => {
  expect(() => mergeWalMetadata([{ name: '0A.json', text: '{' }])).toThrow(/0A\.json/)
})

test('a group of sixteen segments ends with F', () => {
  expect(endsWalMetadataBulk('00000001000000000000000F')).toBe(true)
  expect(endsWalMetadataBulk('000000010000000000000010')).toBe(false)
  expect(walMetadataBulkFile('00000001000000000000001F')).toBe('00000001000000000000001')
})
