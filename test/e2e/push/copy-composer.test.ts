import { expect } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { startRestored } from '../../support/cluster.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { walgCommand } from '../../support/walg.ts'
import { archiveEverything, digest, LEDGER_SQL, startArchivingCluster, walg } from '../archiving-cluster.ts'
import { listedBackups } from './backup-push-support.ts'

const MAJOR = 15
const KEY = '5a'.repeat(32)

testUnless(
  missingPostgres(MAJOR),
  'PostgreSQL 15: parts without changes are copied, also past a delta, and the backup lives on without the one they come from',
  async () => {
    await using source = await startArchivingCluster({ major: MAJOR, settings: { autovacuum: 'off' } })
    const { cluster, repository, place, settings } = source
    await cluster.query(LEDGER_SQL)
    await cluster.query(
      `create table cold as select g, md5(g::text) as note from generate_series(1, 150000) g`,
    )
    await cluster.query('vacuum freeze cold')
    await cluster.query('checkpoint')
    const [files] = await cluster.query<{ cold: string; hot: string }>(
      `select '/' || pg_relation_filepath('cold') as cold, '/' || pg_relation_filepath('ledger') as hot`,
    )
    const env = {
      ...source.connection(),
      WALG_TAR_SIZE_THRESHOLD: '4194304',
      WALG_UPLOAD_DISK_CONCURRENCY: '1',
    }
    const push = async (args: readonly string[], extra: Readonly<Record<string, string>> = {}) => {
      const before = listedBackups(repository)
      const { stderr } = await walg(['backup-push', cluster.dataDirectory, ...args], { ...env, ...extra })
      await cluster.query('update ledger set changes = changes + 1')
      await cluster.query('checkpoint')
      await archiveEverything(cluster)
      const name = listedBackups(repository).find(one => !before.includes(one))!
      return { name, stderr, parts: partsOf(repository, name) }
    }

    const first = await push(['--copy-composer'])
    expect(first.stderr).toContain("Couldn't find previous backup")
    const second = await push(['--copy-composer', '--verify'])
    expect(second.stderr).toContain('The pages in copied parts are not verified again')
    expectCopied(second.parts, first.parts, files!)
    const delta = await push([], { WALG_DELTA_MAX_STEPS: '5' })
    expect(delta.name).toContain('_D_')
    const last = await push(['--delta-from-name', delta.name], {
      WALG_USE_COPY_COMPOSER: 'true',
      WALG_DELTA_MAX_STEPS: '5',
    })
    expect(last.name).not.toContain('_D_')
    expect(last.stderr).toContain('The base that is named for a delta is not used')
    expectCopied(last.parts, second.parts, files!)

    for (const { name } of [second, delta]) await walg(['verify', name], settings)
    await walg(['delete', 'before', last.name, '--confirm'], settings)
    expect(listedBackups(repository)).toEqual([last.name])
    await walg(['verify', last.name], settings)

    const strict = await push(['--copy-composer', '--verify'], { WALG_FAIL_ON_CORRUPT: 'true' })
    expect(strict.stderr).toContain('WALG_FAIL_ON_CORRUPT wants the pages of all files verified')
    expect(copiesOf(strict.parts)).toEqual([])
    const resealed = await push(['--copy-composer'], { WALG_COMPRESSION_METHOD: 'zstd' })
    expect(copiesOf(resealed.parts)).toEqual([])
    const encryption = { WALG_LIBSODIUM_KEY: KEY, WALG_LIBSODIUM_KEY_TRANSFORM: 'hex' }
    const encrypted = await push(['--copy-composer'], { ...encryption, WALG_COMPRESSION_METHOD: 'zstd' })
    expect(encrypted.stderr).toContain('it is not encrypted, and now backups are encrypted')
    expect(copiesOf(encrypted.parts)).toEqual([])

    const noted = [await digest(cluster, 'ledger'), await digest(cluster, 'cold')]
    await archiveEverything(cluster)
    await cluster.kill()
    const data = place.at('restored')
    await walg(['backup-fetch', data, last.name], settings)
    await using restored = await startRestored(data, {
      major: MAJOR,
      settings: { restore_command: walgCommand(settings, 'wal-fetch %f %p') },
    })
    expect([await digest(restored, 'ledger'), await digest(restored, 'cold')]).toEqual(noted)
  },
  240_000,
)

interface StoredPart {
  readonly part: string
  readonly bytes: Buffer
  readonly members: readonly string[]
}

/** Read at once: the backup may be deleted before they are compared. */
function partsOf(repository: string, backup: string): StoredPart[] {
  const folder = path.join(repository, 'basebackups_005', backup)
  const { TarFileSets } = JSON.parse(readFileSync(path.join(folder, 'files_metadata.json'), 'utf8'))
  const parts = path.join(folder, 'tar_partitions')
  return readdirSync(parts).map(part => ({
    part,
    bytes: readFileSync(path.join(parts, part)),
    members: TarFileSets[part] ?? [],
  }))
}

function copiesOf(parts: readonly StoredPart[]): StoredPart[] {
  return parts.filter(({ part }) => part.startsWith('copy_'))
}

/** Copies are the bytes of parts of the other backup; what has changed is in none of them. */
function expectCopied(
  parts: readonly StoredPart[],
  before: readonly StoredPart[],
  { cold, hot }: { readonly cold: string; readonly hot: string },
): void {
  const copies = copiesOf(parts)
  for (const { bytes, members } of copies) {
    expect(before.find(one => one.bytes.equals(bytes))?.members.toSorted()).toEqual(members.toSorted())
  }
  const copied = copies.flatMap(({ members }) => members)
  expect(copied).toContain(cold)
  expect(copied).not.toContain(hot)
  expect(parts.find(({ part }) => part.startsWith('part_001.'))?.members).toContain('/base')
  expect(parts.flatMap(({ members }) => members).filter(name => name === cold || name === hot)).toHaveLength(
    2,
  )
}
