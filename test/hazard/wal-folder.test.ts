import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { giveTreeToClusterUser } from '../support/cluster-template.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import { describeUnless } from '../support/skip.ts'
import { missingSmallDisk, runOnSmallDisk } from '../support/small-disk.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { runWalg, walgBinary } from '../support/walg.ts'

const MIB = 1024 * 1024

let place: TempDirectory
let wal: string
let archive: string

beforeEach(() => {
  place = tempDirectory('wal-folder')
  giveToClusterUser(place.path, 0o755)
  wal = place.at('pg_wal')
  archive = place.at('archive')
  mkdirSync(path.join(wal, 'archive_status'), { recursive: true })
  mkdirSync(archive)
  for (const number of [1, 2, 15]) writeFileSync(file(number), walBytes(segmentName(number)))
  giveTreeToClusterUser(place.path)
  chmodSync(archive, 0o777) // in a user namespace nobody else's files can be written
})
afterEach(() => place.remove())

function file(number: number): string {
  return path.join(wal, segmentName(number))
}

function stored(): string[] {
  return readdirSync(path.join(archive, 'wal_005')).sort()
}

describe('wal-push from a pg_wal with notes that this user may not read', () => {
  const push = (number: number, env: Readonly<Record<string, string>> = {}) =>
    runWalg(['wal-push', file(number)], { env: { WALG_FILE_PREFIX: archive, ...env }, asClusterUser: true })

  test('archives: whose archive it is, is looked up', async () => {
    expect((await push(1)).exit).toBe(0)
    chmodSync(path.join(wal, 'walg_data/walg_archive_identity'), 0)
    const run = await push(2)
    expect([run.exit, run.stderr.includes('ERROR'), stored().length]).toEqual([0, false, 2])
  })

  test('archives: a record of the same file proves nothing', async () => {
    expect((await push(1)).exit).toBe(0)
    chmodSync(path.join(wal, `walg_data/walg_push_records/${segmentName(1)}.record`), 0)
    const run = await push(1)
    expect([run.exit, run.stderr]).toEqual([0, expect.stringContaining('already archived')])
  })

  for (const folder of ['walg_data/walg_push_records', 'walg_data']) {
    test(`archives with a WARNING when the folder ${folder} is closed`, async () => {
      expect((await push(1)).exit).toBe(0)
      chmodSync(path.join(wal, folder), 0)
      const run = await push(2, { WALG_UPLOAD_WAL_METADATA: 'BULK' })
      chmodSync(path.join(wal, folder), 0o700)
      expect([run.exit, run.stderr]).toEqual([0, expect.stringMatching(/^WARNING: .*permission denied/m)])
      expect(stored()).toContain(`${segmentName(2)}.lz4`)
    })
  }
})

test('wal-fetch into a pg_wal with a prefetch folder of another user fetches from the archive', async () => {
  const settings = { WALG_FILE_PREFIX: archive }
  expect((await runWalg(['wal-push', file(1)], { env: settings, asClusterUser: true })).exit).toBe(0)
  const folder = path.join(wal, '.wal-g/prefetch')
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0)
  const destination = path.join(wal, 'RECOVERYXLOG')
  const run = await runWalg(['wal-fetch', segmentName(1), destination], {
    env: settings,
    asClusterUser: true,
  })
  chmodSync(folder, 0o700)
  expect([run.exit, run.stderr]).toEqual([0, ''])
})

describeUnless(missingSmallDisk(), 'a pg_wal without room', () => {
  for (const metadata of ['NOMETADATA', 'BULK']) {
    test(`is still archived, for nothing else can empty it (${metadata})`, () => {
      const number = 15 // the last of its sixteen
      const script =
        'mkdir -p "$1/pg_wal/archive_status" && cp "$2" "$1/pg_wal/" && { cat /dev/zero > "$1/filler"; cd "$1/pg_wal"; exec "$3" wal-push "$4"; }'
      const settings = [
        `WALG_FILE_PREFIX=${archive}`,
        `WALG_UPLOAD_WAL_METADATA=${metadata}`,
        'HOME=/nonexistent',
      ]
      const disk = place.at('disk')
      const command = ['sh', '-c', script, 'sh', disk, file(number), walgBinary(), segmentName(number)]
      const run = runOnSmallDisk(disk, 17 * MIB, [
        'env',
        '-i',
        `PATH=${process.env['PATH']}`,
        ...settings,
        ...command,
      ])
      expect(run.stderr).toMatch(/^WARNING: .*no space left/m)
      expect(run.status).toBe(0)
      expect(stored()).toContain(`${segmentName(number)}.lz4`)
      expect(stored()).toHaveLength(metadata === 'BULK' ? 2 : 1)
    })
  }
})

test('wal-push of a FIFO is refused instead of waiting for its writer', async () => {
  expect(spawnSync('mkfifo', [place.at('fifo')]).status).toBe(0)
  giveToClusterUser(place.at('fifo'))
  const run = await runWalg(['wal-push', place.at('fifo')], {
    env: { WALG_FILE_PREFIX: archive },
    timeoutMs: 20_000,
  })
  expect([run.exit, run.stderr]).toEqual([1, expect.stringContaining('not a regular file')])
})
