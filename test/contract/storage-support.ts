import { expect } from 'bun:test'
import { collect } from '../../src/kit/bytes.ts'
import { type ErrorCode, WalgError } from '../../src/kit/errors.ts'
import type { Storage, StorageEntry } from '../../src/storage/storage.ts'

/** What the suite needs of a storage under test: empty, with its own clean-up. */
export interface StorageUnderTest {
  readonly storage: Storage
  close?(): Promise<void>
}

export type OpenStorage = () => Promise<StorageUnderTest>

/** Runs `body` with a fresh storage and cleans up. */
export function withStorage(
  open: OpenStorage,
  body: (storage: Storage) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const under = await open()
    try {
      await body(under.storage)
    } finally {
      await under.storage.close()
      await under.close?.()
    }
  }
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Bytes that differ at every place where a block could be lost or swapped. */
export function patternBytes(sizeBytes: number, seed: number = 1): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  let state = seed * 2_654_435_761
  for (let at = 0; at < sizeBytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    bytes[at] = state >>> 24
  }
  return bytes
}

/** A body that lends one buffer again and again, as the contract of ByteStream allows. */
export async function* lentStream(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(chunkBytes)
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const part = bytes.subarray(at, at + chunkBytes)
    buffer.set(part)
    yield buffer.subarray(0, part.length)
    buffer.fill(0xee)
  }
}

export async function putText(storage: Storage, key: string, text: string): Promise<void> {
  await storage.put(key, lentStream(bytesOf(text), 1 << 16))
}

export async function getBytes(storage: Storage, key: string): Promise<Uint8Array> {
  return collect(await storage.get(key), 1 << 28)
}

export async function getText(storage: Storage, key: string): Promise<string> {
  return new TextDecoder().decode(await getBytes(storage, key))
}

export async function listAll(
  storage: Storage,
  prefix: string,
  isRecursive: boolean = false,
): Promise<StorageEntry[]> {
  const entries: StorageEntry[] = []
  for await (const entry of storage.list(prefix, { recursive: isRecursive })) entries.push(entry)
  return entries.sort((a, b) => (a.key < b.key ? -1 : 1))
}

/** Every object's key, sorted. */
export async function allKeys(storage: Storage): Promise<string[]> {
  return (await listAll(storage, '', true)).map(entry => entry.key)
}

/** Fails unless `work` fails with one of `codes`; returns the error. */
export async function expectCode(
  work: Promise<unknown> | (() => unknown),
  ...codes: ErrorCode[]
): Promise<WalgError> {
  const error = await failureOf(work)
  if (!(error instanceof WalgError))
    throw new Error(`expected ${codes}, got ${String(error)}`, { cause: error })
  expect(codes).toContain(error.code)
  return error
}

/** What `work` fails with; fails itself when `work` succeeds. */
export async function failureOf(work: Promise<unknown> | (() => unknown)): Promise<unknown> {
  try {
    await (typeof work === 'function' ? work() : work)
  } catch (error) {
    return error
  }
  throw new Error('expected a failure, but there was none')
}
