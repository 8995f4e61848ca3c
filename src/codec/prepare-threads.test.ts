import { expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import path from 'node:path'

/** Which of the steps leaves the addon loaded in a process of its own. */
function loadedAfter(compression: string): boolean {
  const script = `
    import { readFileSync } from 'node:fs'
    import { prepareThreads } from ${JSON.stringify(path.join(import.meta.dir, 'prepare-threads.ts'))}
    await prepareThreads({ compression: ${JSON.stringify(compression)} })
    console.log(/lzma-native.*\\.node/.test(readFileSync('/proc/self/maps', 'utf8')))`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr)
  return stdout.trim() === 'true'
}

test('the lzma addon is loaded before threads load it, which must not do so at the same moment', () => {
  expect(loadedAfter('lzma')).toBe(true)
  expect(loadedAfter('zstd')).toBe(false)
})
