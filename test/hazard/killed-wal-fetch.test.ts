import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Started } from '../support/process.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { startWalg } from '../support/walg.ts'
import { type Repository, repositoryAt } from './sample.ts'

let place: TempDirectory
let repository: Repository

beforeAll(async () => {
  place = tempDirectory('killed-wal-fetch')
  repository = repositoryAt(place.at('repository'), { WALG_COMPRESSION_METHOD: 'none' })
  mkdirSync(place.at('pushed'))
  for (const number of [7, 8, 9]) {
    const file = place.at('pushed', segmentName(number))
    writeFileSync(file, walBytes(segmentName(number)))
    expect((await repository.run(['wal-push', file])).exit).toBe(0)
  }
})
afterAll(() => place.remove())

const temporariesIn = (wal: string): string[] => readdirSync(wal).filter(name => name.endsWith('.wal-g-tmp'))

/** A fetch of 1 MiB that takes ten seconds, once it has begun to write. */
async function startSlowly(wal: string): Promise<Started> {
  mkdirSync(wal, { recursive: true })
  const before = temporariesIn(wal).length
  const env = { ...repository.env, WALG_WAL_NETWORK_RATE_LIMIT: '100000' }
  const run = startWalg(['wal-fetch', segmentName(7), path.join(wal, 'RECOVERYXLOG')], { env })
  await untilTrue(() => temporariesIn(wal).length > before)
  return run
}

test('by SIGTERM: it says that it was interrupted, and nothing of damage', async () => {
  const wal = place.at('terminated')
  const run = await startSlowly(wal)
  run.kill('SIGTERM')
  const { exit, stderr } = await run.finished
  expect(exit).toBe(1)
  expect(stderr).toContain('interrupted by SIGTERM')
  expect(stderr).not.toMatch(/damaged|hint/)
  expect(readdirSync(wal)).toEqual([])
})

test('by kill -9: a later fetch clears away what it left, and not what another one is writing', async () => {
  const wal = place.at('killed')
  const killed = await startSlowly(wal)
  const living = await startSlowly(wal)
  killed.kill('SIGKILL')
  await killed.finished
  expect(temporariesIn(wal)).toHaveLength(2)
  living.kill('SIGSTOP')
  try {
    const old = new Date(Date.now() - 60 * 60 * 1000)
    for (const name of temporariesIn(wal)) utimesSync(path.join(wal, name), old, old)
    const env = { WALG_DOWNLOAD_CONCURRENCY: '4' }
    const destination = path.join(wal, 'next')
    expect((await repository.run(['wal-fetch', segmentName(8), destination], { env })).exit).toBe(0)
    await untilTrue(() => temporariesIn(wal).length < 2)
    expect(temporariesIn(wal)).toEqual([expect.stringContaining(`.${living.pid}-`)])
  } finally {
    living.kill('SIGKILL')
    await living.finished
  }
})
