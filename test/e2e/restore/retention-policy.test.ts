import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { runWalg } from '../../support/walg.ts'
import { type ArchivingCluster, startArchivingCluster } from '../archiving-cluster.ts'

async function backupNames({ settings }: ArchivingCluster): Promise<string[]> {
  const { stdout } = await runWalg(['backup-list', '--json'], { env: settings })
  return (JSON.parse(stdout) as { backup_name: string }[]).map(each => each.backup_name)
}

async function push(
  archiving: ArchivingCluster,
  ...flags: string[]
): Promise<{ exit: number | null; stderr: string }> {
  const { cluster } = archiving
  await cluster.query('create table if not exists t (a int)')
  await cluster.query('insert into t select generate_series(1, 1000)')
  return runWalg(['backup-push', cluster.dataDirectory, ...flags], { env: archiving.connection() })
}

describe('a retention policy on a real repository', () => {
  test('is applied after a push that succeeded, and to nothing when it did not', async () => {
    await using archiving = await startArchivingCluster({ major: 17 })
    for (let count = 0; count < 3; count += 1) expect((await push(archiving)).exit).toBe(0)
    const before = await backupNames(archiving)
    expect(before).toHaveLength(3)

    const refused = await push(archiving, '--apply-policy')
    expect(refused.exit).toBe(1)
    expect(refused.stderr).toContain('nothing says what to keep')
    expect(await backupNames(archiving)).toEqual(before)

    const wrong = await push(archiving, '--apply-policy', '--walg-policy-keep-full=0')
    expect(wrong.exit).toBe(1)
    expect(wrong.stderr).toContain('WALG_POLICY_KEEP_FULL')
    expect(await backupNames(archiving)).toEqual(before)

    const applied = await push(archiving, '--apply-policy', '--walg-policy-keep-full=2')
    expect(applied.exit).toBe(0)
    expect(applied.stderr).toContain('Applying the retention policy')
    const after = await backupNames(archiving)
    expect(after).toHaveLength(2)
    expect(after[0]).toBe(before.at(-1)!)
    expect(readdirSync(path.join(archiving.repository, 'basebackups_005')).sort()).toEqual(
      after.flatMap(name => [name, `${name}_backup_stop_sentinel.json`]).sort(),
    )
  }, 120_000)

  test('is a dry run without --confirm, and says in JSON what goes, what stays and why', async () => {
    await using archiving = await startArchivingCluster({ major: 14 })
    for (let count = 0; count < 3; count += 1) expect((await push(archiving)).exit).toBe(0)
    const names = await backupNames(archiving)
    const { settings, repository } = archiving
    const dry = await runWalg(['delete', 'policy', '--keep-window', '1h', '--json'], { env: settings })
    expect(dry.exit).toBe(0)
    const all = JSON.parse(dry.stdout) as { is_executed: boolean; remove: { key: string }[] }
    expect(all.is_executed).toBe(false)
    expect(all.remove.filter(({ key }) => !key.startsWith('wal_005/'))).toEqual([])
    const plan = await runWalg(['delete', 'policy', '--keep-daily', '1', '--json'], { env: settings })
    const document = JSON.parse(plan.stdout) as { keep_backups: { backup: string; why: string }[] }
    expect(document.keep_backups).toEqual([{ backup: names[2]!, why: 'the newest backup' }])
    expect(await backupNames(archiving)).toEqual(names)
    const done = await runWalg(['delete', 'policy', '--keep-daily', '1', '--confirm'], { env: settings })
    expect(done.exit).toBe(0)
    expect(await backupNames(archiving)).toEqual([names[2]!])
    const start = names[2]!.slice('base_'.length)
    expect(existsSync(path.join(repository, 'wal_005', `${start}.lz4`))).toBe(true)
    expect(readdirSync(path.join(repository, 'wal_005')).filter(name => name.slice(0, 24) < start)).toEqual(
      [],
    )
  }, 120_000)

  for (const [flag, text] of [
    ['--keep-full', 'two'],
    ['--keep-age', '14'],
    ['--keep-user-data', '{'],
    ['--keep-weekly', '-1'],
  ] as const) {
    test(`${flag} ${text} is refused before anything is read`, async () => {
      const { exit, stderr, stdout } = await runWalg(['delete', 'policy', flag, text], {
        env: { WALG_FILE_PREFIX: '/nonexistent' },
      })
      expect(exit).toBe(1)
      expect(stderr).toContain(`${flag}: expected`)
      expect(stdout).toContain(`'${text}'`)
    })
  }
})
