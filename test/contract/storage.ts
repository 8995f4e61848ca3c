import { describe } from 'bun:test'
import { closingContract, keysContract, sinksContract } from './storage-doors.ts'
import { listingContract, readingContract } from './storage-reading.ts'
import type { OpenStorage } from './storage-support.ts'
import { puttingContract, removingContract } from './storage-writing.ts'

export interface ContractOptions {
  /** Odd keys that this storage has no place for: refused with KEY_REFUSED, never stored under another name. */
  readonly keysRefused?: readonly string[]
}

/**
 * Every promise of `src/storage/storage.ts`, for one driver or layer. `open` gives an empty storage each time it is
 * called.
 */
export function storageContract(name: string, open: OpenStorage, given: ContractOptions = {}): void {
  describe(`storage contract: ${name}`, () => {
    describe('list', () => listingContract(open))
    describe('stat and get', () => readingContract(open))
    describe('put', () => puttingContract(open))
    describe('delete and copy', () => removingContract(open))
    describe('keys', () => keysContract(open, given.keysRefused))
    describe('sinks and sources', () => sinksContract(open))
    describe('close', () => closingContract(open))
  })
}
