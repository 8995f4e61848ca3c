import { afterAll, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Started, startProcess } from '../support/process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { describeUnless, missingInterop, testUnless } from '../support/skip.ts'
import { missingSmallDisk, runOnSmallDisk } from '../support/small-disk.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { extractFixture, fixtureManifests } from './fixture.ts'
import { compareTrees, readTree } from './restored-tree.ts'

const MAIN = path.resolve(import.meta.dir, '../../src/cli/main.ts')
const FULL = 'base_000000010000000000000002'
const STATE = 'wal-g_fetch_state'
const folder = tempDirectory('fetch-process')
afterAll(() => folder.remove())

function start(root: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Started {
  return startProcess(process.execPath, [MAIN, 'backup-fetch', ...args], {
    env: { PATH: process.env['PATH'], HOME: folder.path, WALG_FILE_PREFIX: root, ...env },
  })
}

const repositoryOf = (name: string): string => {
  const root = folder.at(name)
  return existsSync(root) ? root : extractFixture(name, folder.path)
}

function differences(fixture: string, backup: string, directory: string): string[] {
  const { backup_manifest: _, ...found } = readTree(directory)
  return compareTrees(fixtureManifests(fixture)[backup]!, found)
}

/** Between the last rename and the end the record of the fetch is still there. */
const isNotState = (line: string): boolean => !line.startsWith(STATE)

describeUnless(missingInterop(), 'the program backup-fetch', () => {
  test('killed at any moment it leaves nothing that looks complete, and goes on with --resume', async () => {
    const random = seededRandom()
    const root = repositoryOf('pg15-composer-copy')
    const backup = 'base_000000010000000000000004'
    const slow = { WALG_NETWORK_RATE_LIMIT: '250000' }
    const destination = folder.at('killed')
    const state = path.join(destination, STATE)
    for (let kills = 0; kills < 4; kills++) {
      const run = start(root, [destination, backup, '--resume'], slow)
      await Promise.race([run.finished, Bun.sleep(200 + random.int(900))])
      run.kill('SIGKILL')
      await run.finished
      if (existsSync(path.join(destination, 'global/pg_control'))) {
        expect(differences('pg15-composer-copy', backup, destination).filter(isNotState)).toEqual([])
      }
      // it was quicker than the kill
      if (existsSync(destination) && !existsSync(state)) rmSync(destination, { recursive: true })
    }
    const records = existsSync(state) ? readdirSync(state).filter(name => /^0\..*\.jsonl$/.test(name)) : []
    const last = await start(root, [destination, backup, '--resume']).finished
    expect([last.exit, last.stderr]).toEqual([0, expect.any(String)])
    if (records.length > 0) expect(last.stderr).toContain(`${records.length} parts of ${backup} are complete`)
    expect(differences('pg15-composer-copy', backup, destination)).toEqual([])
  }, 60_000)

  test('SIGTERM ends it at once', async () => {
    const root = repositoryOf('pg15-composer-copy')
    const destination = folder.at('terminated')
    const run = start(root, [destination, FULL], { WALG_NETWORK_RATE_LIMIT: '100000' })
    await untilTrue(() => existsSync(path.join(destination, STATE, 'fetch.json')))
    run.kill('SIGTERM')
    const { exit } = await run.finished
    expect(exit).toBe(130)
    expect(existsSync(path.join(destination, 'global/pg_control'))).toBe(false)
  }, 30_000)

  testUnless(missingSmallDisk(), 'a full disk is reported as such', () => {
    const root = repositoryOf('pg15-zstd')
    const env = [`WALG_FILE_PREFIX=${root}`, `HOME=${folder.path}`]
    const command = ['env', ...env, process.execPath, MAIN, 'backup-fetch', folder.at('small', 'pg'), FULL]
    const run = runOnSmallDisk(folder.at('small'), 4 << 20, command)
    expect(run.status).toBe(1)
    expect(run.stderr).toContain('no space left')
  })

  test('a truncated object of the original is damage, without endless retries', async () => {
    const root = extractFixture('pg15-zstd', folder.at('cut'))
    const part = path.join(root, 'basebackups_005', FULL, 'tar_partitions/part_001.tar.zst')
    const bytes = readFileSync(part)
    await Bun.write(part, bytes.subarray(0, bytes.length - 4))
    const run = await start(root, [folder.at('cut', 'pg'), FULL]).finished
    expect([run.exit, run.stderr]).toEqual([1, expect.stringContaining('part_001.tar.zst')])
    rmSync(folder.at('cut'), { recursive: true })
  }, 30_000)

  for (const [title, args, message] of [
    ['neither a name nor user data', [], 'insufficient arguments'],
    [
      'both a name and user data',
      [FULL, '--target-user-data', '"x"'],
      'Specify target backup name OR target userdata, not both',
    ],
    ['an unknown name', ['base_00'], "Backup 'base_00' does not exist."],
    ['a name in the wrong case', ['latest'], "Backup 'latest' does not exist."],
    ['a broken mask', [FULL, '--mask', '['], 'not a valid pattern'],
  ] as const) {
    test(`${title} is an error and nothing is made`, async () => {
      const destination = folder.at('refused')
      const run = await start(repositoryOf('pg15-zstd'), [destination, ...args]).finished
      expect([run.exit, run.stderr]).toEqual([1, expect.stringContaining(message)])
      expect(existsSync(destination)).toBe(false)
    }, 30_000)
  }

  test('reverse unpacking is accepted and gives the same files', async () => {
    const root = repositoryOf('pg17-zstd-deltas')
    const backup = 'base_000000010000000000000004_D_000000010000000000000002'
    const destination = folder.at('reverse')
    const run = await start(root, [destination, backup, '--reverse-unpack', '--skip-redundant-tars']).finished
    expect([run.exit, run.stderr]).toEqual([
      0,
      expect.stringContaining('gives the files of a forward restore'),
    ])
    expect(differences('pg17-zstd-deltas', backup, destination)).toEqual([])
  }, 30_000)
})
