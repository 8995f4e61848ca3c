import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { type Finished, startProcess } from '../support/process.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { walgBinary } from '../support/walg.ts'

const name = segmentName(1)

/** A push that takes some seconds, started through `wrapper`, and signalled in the middle of it. */
async function signalled(
  signal: NodeJS.Signals,
  wrapper: readonly string[] = [],
): Promise<{ run: Finished; stored: string[] }> {
  using place = tempDirectory('signalled')
  writeFileSync(place.at(name), walBytes(name))
  mkdirSync(place.at('archive'))
  const [file = '', ...args] = [...wrapper, walgBinary(), 'wal-push', place.at(name)]
  const walg = startProcess(file, args, {
    env: {
      PATH: process.env['PATH'],
      HOME: place.path,
      WALG_FILE_PREFIX: place.at('archive'),
      WALG_WAL_NETWORK_RATE_LIMIT: '200000',
    },
  })
  await untilTrue(() => walg.stderr().includes('Files will be uploaded'), 20_000, 'the push')
  await Bun.sleep(300)
  walg.kill(signal)
  const run = await walg.finished
  const stored = readdirSync(place.at('archive'), { recursive: true, withFileTypes: true })
  return { run, stored: stored.filter(entry => entry.isFile()).map(({ name }) => name) }
}

for (const signal of ['SIGHUP', 'SIGTERM', 'SIGQUIT'] as const) {
  test(`${signal} ends wal-push with a status that the archiver survives, and leaves nothing`, async () => {
    const { run, stored } = await signalled(signal)
    expect([run.exit, run.signal]).toEqual([1, null])
    expect(run.stderr).toContain(`interrupted by ${signal}`)
    expect(stored).toEqual([])
  }, 60_000)
}

test('SIGHUP is nothing to a wal-push under nohup', async () => {
  const { run, stored } = await signalled('SIGHUP', ['nohup'])
  expect([run.exit, stored.length]).toEqual([0, 1])
}, 60_000)
