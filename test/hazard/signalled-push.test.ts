import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { untilTrue } from '../support/until-true.ts'
import { startWalg } from '../support/walg.ts'
import { openScene, pushBackup, type Scene } from './sample.ts'

setDefaultTimeout(60_000)

let scene: Scene

beforeAll(async () => {
  scene = await openScene({ rows: 50_000 })
})
afterAll(() => scene?.[Symbol.asyncDispose]())

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.join(entry.parentPath, entry.name))

/** Not even an empty folder stays of a backup that came to nothing. */
const foldersOfBackups = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isDirectory() && entry.name.startsWith('base_'))
    .map(entry => entry.name)

/** Starts a command, and signals it when it has said `text`. Tells how long it takes to end. */
async function signalled(
  args: readonly string[],
  env: Record<string, string>,
  text: string,
): Promise<{ exit: number | null; stderr: string; tookMs: number }> {
  const started = startWalg(args, { env: { ...scene.env, ...env } })
  await untilTrue(() => started.stderr().includes(text), 20_000, text)
  await Bun.sleep(500)
  const beganMs = performance.now()
  started.kill('SIGTERM')
  const { exit, stderr } = await started.finished
  return { exit, stderr, tookMs: performance.now() - beganMs }
}

for (const [name, rate] of [
  ['WALG_NETWORK_RATE_LIMIT', '1'],
  ['WALG_NETWORK_RATE_LIMIT', '100000'],
  ['WALG_DISK_RATE_LIMIT', '1'],
] as const) {
  for (const kind of ['directory', 'remote'] as const) {
    // PostgreSQL itself keeps the rate of a remote backup
    if (kind === 'remote' && name === 'WALG_DISK_RATE_LIMIT') continue
    test(`SIGTERM ends a push (${kind}) that waits for ${name} ${rate} at once, and nothing is left`, async () => {
      const args = kind === 'directory' ? [scene.cluster.dataDirectory] : []
      const said = kind === 'directory' ? 'Starting part' : 'Streaming remote backup'
      const { exit, stderr, tookMs } = await signalled(['backup-push', ...args], { [name]: rate }, said)
      expect([exit, stderr]).toEqual([130, expect.stringContaining('interrupted by SIGTERM')])
      expect(tookMs).toBeLessThan(5000)
      expect(filesBelow(scene.repository.root).filter(file => file.includes('.tar'))).toEqual([])
      expect(foldersOfBackups(scene.repository.root)).toEqual([])
    })
  }
}

test('SIGTERM ends a fetch and a verify that wait for the rate of the network at once', async () => {
  await pushBackup(scene)
  const target = scene.place.at('fetched')
  for (const [args, said, rate] of [
    [['backup-fetch', target, 'LATEST'], 'LATEST', '100000'],
    [['verify'], '', '50'],
  ] as const) {
    const limit = { WALG_NETWORK_RATE_LIMIT: rate }
    const { exit, stderr, tookMs } = await signalled(args, limit, said)
    expect([exit, stderr]).toEqual([130, expect.stringContaining('interrupted by SIGTERM')])
    expect(tookMs).toBeLessThan(5000)
  }
  rmSync(target, { recursive: true, force: true })
})
