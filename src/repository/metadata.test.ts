import { expect, test } from 'bun:test'
import { formatMetadata, parseMetadata } from './metadata.ts'

const TEXT =
  '{"start_time":"2026-11-22T11:35:06.8463Z","finish_time":"2026-11-22T11:35:07.969865Z","date_fmt":"%Y-%m-%dT%H:%M:%S.%fZ",' +
  '"hostname":"pgfixture","data_dir":"/srv/pgdata","pg_version":150018,"start_lsn":134217768,"finish_lsn":134217984,' +
  '"is_permanent":true,"system_identifier":7710957917932049533,"uncompressed_size":106894,"compressed_size":16840,' +
  '"user_data":{"big":12345678901234567890,"html":"\\u003ca\\u0026b\\u003e"}}'

test('the document is read and written again letter by letter', () => {
  expect(formatMetadata(parseMetadata('x/metadata.json', TEXT))).toBe(TEXT)
})

test('keys are found in any case, a null system identifier is none', () => {
  const metadata = parseMetadata(
    'x',
    TEXT.replace('"start_lsn"', '"START_LSN"').replace('7710957917932049533', 'null'),
  )
  expect(metadata.startLsn).toBe(134217768n as never)
  expect(metadata.systemIdentifier).toBeNull()
})

test.each(['', '{}', '{"start_time":1}', TEXT.slice(0, -1), TEXT.replace('134217768', '"0/8000028"')])(
  'the damaged document %p is reported with its name',
  text => {
    expect(() => parseMetadata('x/metadata.json', text)).toThrow(
      expect.objectContaining({
        code: 'BACKUP_BROKEN',
        message: expect.stringContaining('x/metadata.json'),
      }),
    )
  },
)
