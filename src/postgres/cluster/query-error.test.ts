import { expect, test } from 'bun:test'
import { fromQueryError } from './query-error.ts'

const PLACE = '127.0.0.1:5432'
const refused = (code: string, hint?: string) =>
  fromQueryError(
    Object.assign(new Error('no'), { severity: 'ERROR', code, hint }),
    'select\n  1',
    PLACE,
    60_000,
  )

test('a refusal of the server says what can be done: about a grant, about a damaged catalogue, or what the server says', () => {
  expect(refused('42501').hint).toContain('the guide lists')
  expect(refused('XX001').hint).toContain('pg_amcheck')
  expect(refused('XX002').hint).toContain('REINDEX SYSTEM')
  expect(refused('42883', 'No function matches').hint).toBe('No function matches')
  expect(refused('42601')).toMatchObject({
    code: 'CLUSTER_QUERY',
    hint: undefined,
    facts: { sqlState: '42601' },
  })
})

test('a file that the server itself may not read is not told as a missing grant', () => {
  const error = Object.assign(new Error('could not open file "base/5/1": Permission denied'), {
    severity: 'ERROR',
    code: '42501',
  })
  expect(fromQueryError(error, 'BASE_BACKUP', PLACE, 60_000).hint).toContain('owner and mode')
})

test('a server that goes away, and a socket that ends, are a lost connection; a timeout is one', () => {
  expect(refused('57P01').code).toBe('CLUSTER_UNREACHABLE')
  expect(fromQueryError(new Error('ended'), 'select 1', PLACE, 60_000)).toMatchObject({
    code: 'CLUSTER_UNREACHABLE',
    message: `lost the connection to PostgreSQL at ${PLACE}: ended`,
  })
  const late = Object.assign(new Error('canceling statement due to statement timeout'), {
    severity: 'ERROR',
    code: '57014',
  })
  expect(fromQueryError(late, 'select pg_sleep(9)', PLACE, 100).code).toBe('TIMEOUT')
})
