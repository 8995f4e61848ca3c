import { describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WalgError } from '../kit/errors.ts'
import { type ExitFacts, exitCodeOf, exitCodeOfResult } from './exit-code.ts'

function facts(more: Partial<ExitFacts>): ExitFacts {
  return {
    verb: 'wal-fetch',
    positionals: ['000000010000000000000001', 'pg_wal/RECOVERYXLOG'],
    workingDirectory: tmpdir(),
    pgdata: undefined,
    fetchErrorExitCode: undefined,
    ...more,
  }
}

function dataDirectory(...signals: string[]): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'wal-g-exit-'))
  mkdirSync(join(path, 'pg_wal'))
  for (const name of signals) writeFileSync(join(path, `${name}.signal`), '')
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

const trouble = new WalgError('STORAGE_UNAVAILABLE', 'gone')
const notThere = new WalgError('WAL_NOT_FOUND', 'not there')

describe('wal-fetch', () => {
  test('ends with 74 only on a positive "not there"', () => {
    using directory = dataDirectory('recovery')
    expect(exitCodeOf(notThere, facts({ workingDirectory: directory.path }))).toBe(74)
    expect(exitCodeOf(new WalgError('OBJECT_NOT_FOUND', 'x'), facts({}))).toBe(1)
  })

  test('ends with 126 on any other failure while recovery.signal alone is there', () => {
    using directory = dataDirectory('recovery')
    const inside = facts({ workingDirectory: directory.path })
    for (const error of [trouble, new WalgError('CANCELLED', 'x'), new TypeError('bug'), undefined]) {
      expect(exitCodeOf(error, inside)).toBe(126)
    }
    expect(exitCodeOfResult(1, inside)).toBe(126)
    expect(exitCodeOfResult(0, inside)).toBe(0)
  })

  test('ends with 1 on a standby, with or without recovery.signal, and without any signal file', () => {
    for (const signals of [['standby'], ['standby', 'recovery'], []]) {
      using directory = dataDirectory(...signals)
      expect(exitCodeOf(trouble, facts({ workingDirectory: directory.path }))).toBe(1)
    }
  })

  test('looks beside the pg_wal of the destination, also when that is a link, and in PGDATA', () => {
    using directory = dataDirectory('recovery')
    using elsewhere = dataDirectory()
    rmSync(join(directory.path, 'pg_wal'), { recursive: true })
    symlinkSync(join(elsewhere.path, 'pg_wal'), join(directory.path, 'pg_wal'))
    const destination = join(directory.path, 'pg_wal/RECOVERYXLOG')
    expect(exitCodeOf(trouble, facts({ positionals: ['x', destination] }))).toBe(126)
    expect(exitCodeOf(trouble, facts({ positionals: ['x'], pgdata: directory.path }))).toBe(126)
  })

  test('is overruled by one setting, except for 74 and success', () => {
    using directory = dataDirectory('recovery')
    const overruled = facts({ workingDirectory: directory.path, fetchErrorExitCode: 200 })
    expect(exitCodeOf(trouble, overruled)).toBe(200)
    expect(exitCodeOf(notThere, overruled)).toBe(74)
    expect(exitCodeOfResult(0, overruled)).toBe(0)
  })
})

describe('other verbs', () => {
  test('wal-push never ends above 125, a signal included', () => {
    const push = facts({ verb: 'wal-push' })
    expect(exitCodeOf(new WalgError('CANCELLED', 'x'), push)).toBe(1)
    expect(exitCodeOf(new TypeError('bug'), push)).toBe(1)
    expect(exitCodeOfResult(255, push)).toBe(125)
  })

  test('end with 130 when interrupted and with 1 otherwise', () => {
    const other = facts({ verb: 'backup-push' })
    expect(exitCodeOf(new WalgError('CANCELLED', 'x'), other)).toBe(130)
    expect(exitCodeOf(notThere, other)).toBe(1)
    expect(exitCodeOfResult(3, other)).toBe(3)
  })
})
