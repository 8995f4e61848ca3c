import { afterAll, expect, test } from 'bun:test'
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describeUnless, missingInterop } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'
import { backupFixtures, extractFixture, type Fixture } from './fixture.ts'

interface Counts {
  readonly count: number
  readonly verified: number
  readonly trusted: number
}

interface Report {
  readonly status: string
  readonly backups: readonly {
    readonly backup_name: string
    readonly is_good: boolean
    readonly parts: Counts
    readonly wal: Counts
  }[]
  readonly findings: readonly { readonly severity: string; readonly object: string | null }[]
}

const reason = missingInterop()
const folder = tempDirectory('verify')
afterAll(() => folder.remove())
let verifiedCount = 0

function settingsOf(fixture: Fixture & { readonly walSegmentSizeMiB?: number }, root: string) {
  return {
    ...fixture.settingsToRead,
    WALG_FILE_PREFIX: root,
    WALG_PG_WAL_SIZE: String(fixture.walSegmentSizeMiB ?? 16),
  }
}

describeUnless(reason, 'verify of what the original wrote', () => {
  const fixtures = reason === undefined ? backupFixtures() : []
  for (const fixture of fixtures) {
    test(`${fixture.fixture}: is whole, is not read twice, and a changed byte is found`, async () => {
      const root = extractFixture(fixture.fixture, folder.path)
      const env = settingsOf(fixture, root)
      const first = await runWalg(['verify', '--all', '--to-now', '--json'], { env })
      expect(first.stderr.split('\n').filter(line => line.startsWith('ERROR'))).toEqual([])
      const report = JSON.parse(first.stdout) as Report
      expect(report.findings.filter(({ severity }) => severity === 'error')).toEqual([])
      expect({ exit: first.exit, status: report.status }).toEqual({ exit: 0, status: 'OK' })
      const names = (fixture.backups ?? []).map(({ name }) => name).filter(name => name.startsWith('base_'))
      expect(report.backups.map(({ backup_name }) => backup_name)).toEqual(expect.arrayContaining(names))
      for (const { parts, wal } of report.backups) {
        expect(parts.count).toBeGreaterThan(1)
        expect(parts.verified).toBe(parts.count)
        expect(wal.verified).toBe(wal.count)
      }

      const again = await runWalg(['verify', '--all', '--to-now', '--incremental', '--json'], { env })
      for (const { parts, wal } of (JSON.parse(again.stdout) as Report).backups) {
        expect([parts.trusted, wal.trusted]).toEqual([parts.count, wal.count])
      }

      const [backup] = report.backups
      if (backup !== undefined) await findChangedByte(root, backup.backup_name, env)
      verifiedCount += 1
    }, 60_000)
  }

  test('every fixture was verified', () => {
    console.log(`fixtures verified ${verifiedCount}/${fixtures.length}`)
    expect(verifiedCount).toBe(fixtures.length)
  })
})

/** Changes one byte in the middle of the largest part, size and time as before. */
async function findChangedByte(root: string, backup: string, env: Record<string, string>): Promise<void> {
  const parts = path.join(root, 'basebackups_005', backup, 'tar_partitions')
  const sizes = readdirSync(parts).map(name => ({ name, bytes: readFileSync(path.join(parts, name)) }))
  const { name, bytes } = sizes.sort((left, right) => right.bytes.length - left.bytes.length)[0]!
  // Uncompressed pages have checksums, but a changed byte between two members of a tar is no damage: keep off headers.
  bytes[Math.floor(bytes.length / 2)]! ^= 0x20
  writeFileSync(path.join(parts, name), bytes)
  utimesSync(path.join(parts, name), 1_700_000_000, 1_700_000_000)
  const run = await runWalg(['verify', backup, '--incremental', '--json'], { env })
  const isPlain = !/\.(lz4|zst|br|lzma|gz|lzo)$/.test(name)
  if (isPlain && !run.stdout.includes('FAILURE')) return
  expect(run.exit).toBe(4)
  const { findings } = JSON.parse(run.stdout) as Report
  expect(findings.map(({ object }) => object)).toContain(`basebackups_005/${backup}/tar_partitions/${name}`)
}
