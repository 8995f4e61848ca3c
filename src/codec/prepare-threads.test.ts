import { expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import type { CodecDescription } from './codec.ts'

const key = { method: 'libsodium', keyId: 'x', key: new Uint8Array(32) } as const

/** Which of the steps leaves the addon loaded in a process of its own. */
function loadedAfter(encryption: CodecDescription['encryption']): boolean {
  const script = `
    import { readFileSync } from 'node:fs'
    import { prepareThreads } from ${JSON.stringify(path.join(import.meta.dir, 'prepare-threads.ts'))}
    await prepareThreads({ encryption: ${JSON.stringify(encryption)} })
    console.log(/sodium-native.*\\.(node|bare)/.test(readFileSync('/proc/self/maps', 'utf8')))`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr)
  return stdout.trim() === 'true'
}

test('the libsodium addon is loaded before threads load it, which must not do so at the same moment', () => {
  expect(loadedAfter({ write: key, read: [key], readsPlain: true })).toBe(true)
  expect(loadedAfter({ write: undefined, read: [key], readsPlain: true })).toBe(true)
})

test('without a key nothing is loaded', () => {
  expect(loadedAfter(undefined)).toBe(false)
  expect(loadedAfter({ write: undefined, read: [], readsPlain: true })).toBe(false)
})
