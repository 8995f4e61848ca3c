import { expect, test } from 'bun:test'
import { isBegunAfter, parseStateFileName, stateFileBytes } from './two-phase-state.ts'

const EPOCH = 1n << 32n

function isAfter(name: string, nextXid: bigint): boolean {
  return isBegunAfter(parseStateFileName(name)!, nextXid)
}

test('state files are known by eight digits before PostgreSQL 17 and by sixteen from it on', () => {
  expect(parseStateFileName('000004EA')).toEqual({ xid: 0x4ean, hasEpoch: false })
  expect(parseStateFileName('00000001000004EA')).toEqual({ xid: EPOCH + 0x4ean, hasEpoch: true })
  for (const other of ['', '4EA', '000004ea', '0000000000004EA', '000004EA.tmp']) {
    expect(parseStateFileName(other)).toBeUndefined()
  }
})

test('a transaction is later than a checkpoint from its next id on', () => {
  for (const epoch of [0n, EPOCH, 7n * EPOCH]) {
    const name = (xid: number): string => (epoch + BigInt(xid)).toString(16).toUpperCase().padStart(16, '0')
    expect([749, 750, 751].map(xid => isAfter(name(xid), epoch + 750n))).toEqual([false, true, true])
    expect(isAfter(name(0xfffffff0), epoch + EPOCH + 3n)).toBe(false)
  }
})

test('without an epoch, ids that have gone round are compared as the server does', () => {
  expect(['000002ED', '000002EE', '000002EF'].map(name => isAfter(name, 5n * EPOCH + 750n))).toEqual([
    false,
    true,
    true,
  ])
  // the oldest that may still be prepared is less than half of all ids behind
  expect(isAfter('FFFFFFF0', EPOCH + 3n)).toBe(false)
  expect(isAfter('00000003', EPOCH - 16n)).toBe(true)
})

test('the length is read from the header, as soon as there is one', () => {
  expect(stateFileBytes(new Uint8Array(7))).toBe(-1)
  expect(stateFileBytes(new Uint8Array([0x34, 0x45, 0xf9, 0x57, 0x14, 0x07, 0, 0]))).toBe(0x714)
})
