import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { error, type S3Double, type S3Seen, startS3Double } from '../../doubles/s3-server.ts'
import type { Finished } from '../../support/process.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { segmentName, walBytes } from '../../support/wal-bytes.ts'
import { runWalg } from '../../support/walg.ts'

const UNGUARDED = { WALG_PREVENT_WAL_OVERWRITE: 'false' }
const HISTORY = '00000002.history'

/** A policy with `s3:PutObject` and `s3:AbortMultipartUpload` only. */
function isWrite({ method, query }: S3Seen): boolean {
  return (
    method === 'PUT' ||
    (method === 'POST' && !query.has('delete')) ||
    (method === 'DELETE' && query.has('uploadId'))
  )
}

describe('with keys for S3 that may only write, wal-push', () => {
  let double: S3Double
  let place: TempDirectory
  let wal: string
  beforeAll(async () => {
    double = await startS3Double()
    double.intercept = seen => (isWrite(seen) ? undefined : error(403, 'AccessDenied', 'Access Denied'))
  })
  afterAll(() => double.close())
  beforeEach(() => {
    place?.remove()
    place = tempDirectory('write-only')
    wal = place.at('pg_wal')
    mkdirSync(join(wal, 'archive_status'), { recursive: true })
    mkdirSync(place.at('home'))
    for (const number of [1, 2, 3, 4]) {
      writeFileSync(join(wal, segmentName(number)), walBytes(segmentName(number)))
      writeFileSync(join(wal, 'archive_status', `${segmentName(number)}.ready`), '')
    }
    double.objects.clear()
    double.requests.length = 0
  })
  afterAll(() => place.remove())

  const push = (file: string, env: Record<string, string> = {}): Promise<Finished> =>
    runWalg(['wal-push', join(wal, file)], { env: { ...double.settings(), HOME: place.at('home'), ...env } })
  const keys = (): string[] => [...double.objects.keys()].sort()
  const linesOf = ({ stderr }: Finished, level: string): string[] =>
    stderr.split('\n').filter(line => line.includes(`${level}:`))

  test('fails with the guard on: what is missing, and how to archive without looking', async () => {
    for (const file of [segmentName(1), HISTORY, '']) {
      writeFileSync(join(wal, HISTORY), '1\t0/3000000\tno reason\n')
      const finished = await push(file)
      expect(finished.exit).toBe(1)
      expect(finished.stderr).toContain('AccessDenied')
      expect(finished.stderr).toContain('give the key of AWS_ACCESS_KEY_ID the permission s3:')
      expect(finished.stderr).toContain('s3:ListBucket (docs/guide/storages.md)')
      expect(finished.stderr).toContain('WALG_PREVENT_WAL_OVERWRITE=false archives without looking')
      expect(finished.stderr).not.toContain('--HIDDEN--')
    }
    expect(keys()).toEqual([])
  })

  test('archives with the guard switched off, with one WARNING, and puts each segment once', async () => {
    const finished = await push(segmentName(1), UNGUARDED)
    expect([finished.exit, linesOf(finished, 'ERROR')]).toEqual([0, []])
    expect(linesOf(finished, 'WARNING')).toEqual([
      expect.stringContaining('Not checked: whose archive this is'),
    ])
    expect(keys()).toEqual([`main/wal_005/${segmentName(1)}.lz4`])
    expect(double.requests.filter(({ method }) => method === 'PUT')).toHaveLength(1)
  })

  test('archives a directory with the guard switched off, with one WARNING for all', async () => {
    const finished = await push('', UNGUARDED)
    expect([finished.exit, linesOf(finished, 'ERROR')]).toEqual([0, []])
    expect(linesOf(finished, 'WARNING')).toHaveLength(1)
    expect(keys()).toEqual([1, 2, 3, 4].map(number => `main/wal_005/${segmentName(number)}.lz4`))
    expect(readdirSync(join(wal, 'archive_status')).every(name => name.endsWith('.done'))).toBe(true)
  })

  test('never replaces a history: the store refuses to', async () => {
    writeFileSync(join(wal, HISTORY), '1\t0/3000000\tno reason\n')
    expect((await push(HISTORY, UNGUARDED)).exit).toBe(0)
    // Once more after a crash: what this host has put it may put again.
    expect((await push(HISTORY, UNGUARDED)).exit).toBe(0)
    const [before] = double.objects.values()
    writeFileSync(join(wal, HISTORY), '1\t0/4000000\tno reason\n')
    for (let attempt = 0; attempt < 2; attempt++) {
      const finished = await push(HISTORY, UNGUARDED)
      expect(finished.exit).toBe(1)
      expect(finished.stderr).toContain('is already archived, and this user may not read it to compare')
    }
    expect([...double.objects.values()]).toEqual([before!])
  })

  test('fails when the keys may not even write', async () => {
    double.intercept = () => error(403, 'AccessDenied', 'Access Denied')
    try {
      const finished = await push(segmentName(1), UNGUARDED)
      expect(finished.exit).toBe(1)
      expect(finished.stderr).toContain('the permission s3:PutObject')
      expect(linesOf(finished, 'WARNING')).toHaveLength(1)
    } finally {
      double.intercept = seen => (isWrite(seen) ? undefined : error(403, 'AccessDenied', 'Access Denied'))
    }
  })

  test('takes such a storage for alive beside failover storages, and goes on doing so', async () => {
    const other = { ...double.settings(), WALG_S3_PREFIX: 's3://backups/other' }
    const env = {
      ...UNGUARDED,
      WALG_FAILOVER_STORAGES: JSON.stringify({ other }),
      TOTAL_BG_UPLOADED_LIMIT: '1',
    }
    for (const number of [1, 2, 3]) {
      const finished = await push(segmentName(number), env)
      expect([finished.exit, linesOf(finished, 'ERROR')]).toEqual([0, []])
    }
    const probes = double.requests.filter(
      ({ method, key }) => method === 'PUT' && key.endsWith('storage_check'),
    )
    expect(probes).toHaveLength(1)
    expect(keys().filter(key => key.includes('/wal_005/'))).toEqual(
      [1, 2, 3].map(number => `main/wal_005/${segmentName(number)}.lz4`),
    )
  })
})
