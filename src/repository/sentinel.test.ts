import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { streamOf } from '../kit/bytes.ts'
import { parseTimestamp, timestampFromNs } from '../kit/timestamp.ts'
import { toLsn } from '../postgres/lsn.ts'
import { toBackupName } from './backup-name.ts'
import { formatSentinel, readSentinelDocument, type Sentinel, type SentinelDocument } from './sentinel.ts'

const full: Sentinel = {
  lsn: toLsn(67108904n),
  finishLsn: toLsn(67109120n),
  delta: null,
  pgVersion: 150018,
  systemIdentifier: 7710957917932049533n,
  uncompressedSizeBytes: 8993215,
  compressedSizeBytes: 1081558,
  dataCatalogSizeBytes: 9095516,
  spec: null,
  userData: null,
  isFilesMetadataDisabled: false,
  version: 2,
  startTime: parseTimestamp('2026-11-22T11:35:04.046493Z'),
  finishTime: parseTimestamp('2026-11-22T11:35:05.304218Z'),
  hostname: 'pgfixture',
  dataDirectory: '/srv/pgdata',
  isPermanent: false,
  contentManifest: null,
}

function read(text: string): Promise<SentinelDocument> {
  return readSentinelDocument(
    'basebackups_005/x_backup_stop_sentinel.json',
    streamOf(new TextEncoder().encode(text)),
  )
}

test('a delta with tablespaces, user data and manifest has its keys in the order of the original', () => {
  const text = formatSentinel({
    ...full,
    delta: {
      lsn: toLsn(33554472n),
      parent: toBackupName('base_000000010000000000000002'),
      full: toBackupName('base_000000010000000000000002'),
      count: 1,
    },
    spec: {
      basePrefix: '/srv/pgdata',
      tablespaces: [{ oid: '16476', location: '/srv/t<1>', link: 'pg_tblspc/16476' }],
    },
    userData: '{ "big": 12345678901234567890, "html": "<a&b>" }',
    isPermanent: true,
    contentManifest: { object: 'content_manifest.jsonl.lz4', sizeBytes: 17, hash: 'xxh3-128:00' },
  })
  expect(text).toBe(
    '{"LSN":67108904,"DeltaLSN":33554472,"DeltaFrom":"base_000000010000000000000002",' +
      '"DeltaFullName":"base_000000010000000000000002","DeltaCount":1,"PgVersion":150018,"FinishLSN":67109120,' +
      '"SystemIdentifier":7710957917932049533,"UncompressedSize":8993215,"CompressedSize":1081558,' +
      '"DataCatalogSize":9095516,' +
      '"Spec":{"16476":{"loc":"/srv/t\\u003c1\\u003e","link":"pg_tblspc/16476"},"base_prefix":"/srv/pgdata","tablespaces":["16476"]},' +
      '"UserData":{"big":12345678901234567890,"html":"\\u003ca\\u0026b\\u003e"},' +
      '"ChkpNum":null,"Version":2,"StartTime":"2026-11-22T11:35:04.046493Z","FinishTime":"2026-11-22T11:35:05.304218Z",' +
      '"DateFmt":"%Y-%m-%dT%H:%M:%S.%fZ","Hostname":"pgfixture","DataDir":"/srv/pgdata","IsPermanent":true,' +
      '"ContentManifest":{"Object":"content_manifest.jsonl.lz4","Size":17,"Hash":"xxh3-128:00"}}',
  )
})

test('a sentinel of version 1 brings its files and its old name for the LSN of the parent', async () => {
  const { sentinel, inlineFiles } = await read(
    '{"LSN": 2, "DeltaFromLSN": 1, "DeltaFrom": "base_A", "DeltaFullName": "base_A", "DeltaCount": 1, "Spec": null, ' +
      '"Files": {"/base/1/1": {"IsSkipped": true, "MTime": "2026-11-22T11:31:23.446275831Z"}}, "TarFileSets": {"p": ["/base/1/1"]}}',
  )
  expect(sentinel.version).toBe(0)
  expect(sentinel.delta?.lsn).toBe(toLsn(1n))
  expect(inlineFiles?.filesCount).toBe(1)
  expect(inlineFiles?.isSkipped(0)).toBe(true)
})

test('keys in lower case and the spec of WAL-E are read', async () => {
  const { sentinel, inlineFiles } = await read(
    '{"lsn":3,"pgversion":90600,"spec":{"base_prefix":"/d/","tablespaces":["1"],"1":{"loc":"/t","link":"pg_tblspc/1"}}}',
  )
  expect(sentinel.lsn).toBe(toLsn(3n))
  expect(sentinel.spec).toEqual({
    basePrefix: '/d',
    tablespaces: [{ oid: '1', location: '/t', link: 'pg_tblspc/1' }],
  })
  expect(inlineFiles).toBeNull()
  expect(sentinel.startTime).toBeNull()
})

test('a catchup backup starts from an LSN without a parent', async () => {
  const text = formatSentinel({ ...full, catchupFromLsn: toLsn(5n) })
  expect(text).toContain('"DeltaLSN":5,"DeltaFrom":"","DeltaFullName":"","DeltaCount":1,')
  const { sentinel } = await read(text)
  expect(sentinel.delta).toBeNull()
  expect(sentinel.catchupFromLsn).toBe(toLsn(5n))
})

test.each([
  '',
  '\n',
  '{"LSN":67108904,"Delt',
  'not json',
  '[]',
  'null',
  '{"LSN":"0/4000028"}',
  '{"LSN":-1}',
  '{"LSN":1.5}',
  '{"LSN":18446744073709551616}',
  '{"DeltaFrom":"base_A"}',
  '{"DeltaFrom":"base_A","DeltaLSN":1,"DeltaFullName":"base_A"}',
  '{"Spec":{"tablespaces":["1"]}}',
  '{"Spec":{"base_prefix":"/d","tablespaces":["1"]}}',
  '{"StartTime":"now"}',
  '{"ContentManifest":{"Object":"x"}}',
  '{"UserData":{"a":}}',
])('the broken sentinel %p is reported with its name', async text => {
  await expect(read(text)).rejects.toMatchObject({
    code: 'BACKUP_BROKEN',
    message: expect.stringContaining('x_backup_stop_sentinel.json'),
    facts: { key: 'basebackups_005/x_backup_stop_sentinel.json' },
  })
})

test('user data that is no JSON is never stored', () => {
  expect(() => formatSentinel({ ...full, userData: '{x}' })).toThrow(
    expect.objectContaining({ code: 'FORMAT_INVALID' }),
  )
})

test('every sentinel comes back from its text', async () => {
  const lsn = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(toLsn)
  const time = fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }).map(ns => timestampFromNs(ns))
  const text = fc.string({ unit: 'grapheme', maxLength: 12 })
  const name = fc
    .string({ unit: fc.constantFrom('a', 'B', '_', '9'), minLength: 1, maxLength: 12 })
    .map(toBackupName)
  const sentinels: fc.Arbitrary<Sentinel> = fc.record({
    lsn: fc.option(lsn),
    finishLsn: fc.option(lsn),
    delta: fc.option(fc.record({ lsn, parent: name, full: name, count: fc.integer({ min: 1, max: 99 }) })),
    pgVersion: fc.integer({ min: 90600, max: 190000 }),
    systemIdentifier: fc.option(fc.bigInt({ min: 1n, max: (1n << 64n) - 1n })),
    uncompressedSizeBytes: fc.maxSafeNat(),
    compressedSizeBytes: fc.maxSafeNat(),
    dataCatalogSizeBytes: fc.maxSafeNat(),
    spec: fc.option(
      fc.record({
        basePrefix: text.map(tail => `/d${tail.replaceAll('/', '')}`),
        tablespaces: fc.uniqueArray(
          fc.record({ oid: fc.integer({ min: 1 }).map(String), location: text, link: text }),
          { selector: tablespace => tablespace.oid, maxLength: 3 },
        ),
      }),
    ),
    userData: fc.option(
      fc
        .jsonValue()
        .filter(value => value !== null)
        .map(value => JSON.stringify(value)),
    ),
    isFilesMetadataDisabled: fc.boolean(),
    version: fc.constant(2),
    startTime: time,
    finishTime: time,
    hostname: text,
    dataDirectory: text,
    isPermanent: fc.boolean(),
    contentManifest: fc.option(
      fc.record(
        { object: text, sizeBytes: fc.maxSafeNat(), hash: text, parentHash: text },
        { requiredKeys: ['object', 'sizeBytes', 'hash'] },
      ),
    ),
  })
  await fc.assert(
    fc.asyncProperty(sentinels, async sentinel => {
      const again = (await read(formatSentinel(sentinel))).sentinel
      const userData = again.userData === null ? null : JSON.parse(again.userData)
      expect(userData).toEqual(sentinel.userData === null ? null : JSON.parse(sentinel.userData))
      expect({ ...again, userData: null }).toEqual({ ...sentinel, userData: null })
    }),
    { seed },
  )
})
