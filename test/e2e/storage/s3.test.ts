import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3'
import { expectCode, patternBytes, putText } from '../../contract/storage-support.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { type Finished, runProcess } from '../../support/process.ts'
import { openS3 } from '../../support/servers/s3.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../../support/servers/swift-server.ts'
import { describeUnless, missingReference, reference, testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg } from '../../support/walg.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

describeUnless(missingSwift(), 'S3', () => {
  const place = tempDirectory('s3-e2e')
  const history = place.at('00000002.history')
  let server: SwiftServer
  beforeAll(async () => {
    server = await startSwiftServer()
    writeFileSync(history, '1\t0/3000000\tno recovery target specified\n')
  })
  afterAll(async () => {
    await server.stop()
    place.remove()
  })

  const settings = async (given: Record<string, string> = {}): Promise<Record<string, string>> => ({
    ...server.s3,
    WALG_S3_PREFIX: `s3://${await server.createContainer()}/main`,
    ...given,
  })

  testUnless(
    missingPostgres(16),
    'holds WAL and backups under load, and gives a point in time back',
    async () =>
      proveStorageRecovery({
        major: 16,
        compression: 'zstd',
        storage: await settings({ S3_MAX_PART_SIZE: '5m' }),
      }),
    240_000,
  )

  test('WAL is not overwritten, also by a store that knows no conditional put', async () => {
    const env = await settings()
    expect((await runWalg(['wal-push', history], { env })).exit).toBe(0)
    const again = await runWalg(['wal-push', history], { env })
    expect([again.exit, again.stderr.includes('already archived with equal content')]).toEqual([0, true])
    const other = place.at('other')
    writeFileSync(other, '')
    const changed = place.at('changed/00000002.history')
    await Bun.write(changed, 'something else\n')
    const refused = await runWalg(['wal-push', changed], { env })
    expect([refused.exit, refused.stderr.includes('contents differ')]).toEqual([1, true])
  })

  test('a bucket that is missing is named, by every command, and wal-fetch does not call it "not there"', async () => {
    const env = { ...server.s3, WALG_S3_PREFIX: 's3://no-such-bucket/main' }
    for (const args of [
      ['wal-push', history],
      ['backup-list'],
      ['wal-fetch', '00000002.history', place.at('fetched')],
    ]) {
      const { exit, stderr } = await runWalg(args, { env })
      expect([args[0], exit]).toEqual([args[0], 1])
      expect(stderr).toContain('"no-such-bucket"')
      expect(stderr).toContain('NoSuchBucket')
    }
    const absent = await runWalg(['wal-fetch', '00000003.history', place.at('fetched')], {
      env: await settings(),
    })
    expect(absent.exit).toBe(74)
  })

  test('wrong keys are named as such, without the secret', async () => {
    const env = await settings({ AWS_SECRET_ACCESS_KEY: 'not-the-right-secret' })
    const { exit, stderr } = await runWalg(['wal-push', history], { env })
    expect(exit).toBe(1)
    expect(stderr).toContain('AWS_SECRET_ACCESS_KEY')
    expect(stderr).not.toContain('not-the-right-secret')
  })

  test('uploads that a crash left are named, and removed when that is confirmed', async () => {
    const env = await settings()
    const storage = await openS3(env, { description: { partSizeBytes: 5 << 20 } })
    const sink = await storage.openSink('basebackups_005/base_1/tar_partitions/part_001.tar.lz4')
    await sink.write(patternBytes(11 << 20))
    await untilTrue(async () => (await gc([])).stdout !== '', 20_000, 'the upload is listed')
    function gc(args: string[]): Promise<Finished> {
      return runWalg(['st', 'gc-uploads', '--older-than', '0s', ...args], { env })
    }
    const named = await gc([])
    expect(named.stdout).toContain('basebackups_005/base_1/tar_partitions/part_001.tar.lz4')
    expect((await runWalg(['st', 'gc-uploads'], { env })).stdout).toBe('')
    const removed = await gc(['--confirm'])
    expect([removed.exit, removed.stdout]).toEqual([0, named.stdout])
    expect((await gc([])).stdout).toBe('')
    await expectCode(async () => sink.end(), 'OBJECT_NOT_FOUND')
    await storage.close()
  })

  test('versions of a bucket that keeps them are listed and removed', async () => {
    const env = await settings()
    const bucket = new URL(env['WALG_S3_PREFIX']!).host
    const client = new S3Client({
      endpoint: server.url,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'test:tester', secretAccessKey: 'testing' },
      requestChecksumCalculation: 'WHEN_REQUIRED',
    })
    const VersioningConfiguration = { Status: 'Enabled' } as const
    await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }))
    const storage = await openS3(env)
    await putText(storage, 'folder/object', 'one')
    await putText(storage, 'folder/object', 'three')
    await storage.delete(['folder/object'])
    await storage.close()
    const list = async (): Promise<string[]> => {
      const { stdout } = await runWalg(['st', 'ls', '--all-versions', 'folder'], { env })
      return stdout.split('\n').slice(1, -1)
    }
    const rows = await list()
    expect(rows.map(row => row.split(/ +/)[1])).toEqual(['0', '5', '3'])
    expect(rows[0]).toEndWith('LATEST DELETE')
    const [, versionOfThree] = / object (\S+)/.exec(rows[1]!)!
    const removed = await runWalg(['st', 'rm', '--version-id', versionOfThree!, 'folder/object'], { env })
    expect(removed.exit).toBe(0)
    expect((await list()).map(row => row.split(/ +/)[1])).toEqual(['0', '3'])
    expect((await runWalg(['st', 'rm', '--all-versions', 'folder/object'], { env })).exit).toBe(0)
    expect(await list()).toEqual([])
  })

  testUnless(missingReference(), 'the original reads what we stored, and we what it stored', async () => {
    const env = await settings({ S3_MAX_PART_SIZE: '5242880' })
    const original = (args: string[]): Promise<Finished> =>
      runProcess(reference()!, args, { env: { PATH: process.env['PATH'], HOME: place.path, ...env } })
    const large = place.at('large')
    writeFileSync(large, patternBytes(12_345_678))
    const put = ['st', 'put', '--no-compress', '--no-encrypt', large]
    const get = (name: string, to: string): string[] => [
      'st',
      'get',
      '--no-decompress',
      '--no-decrypt',
      name,
      to,
    ]
    expect((await runWalg([...put, 'ours'], { env })).exit).toBe(0)
    expect(await original([...put, 'theirs'])).toMatchObject({ exit: 0 })
    expect(await original(get('ours', place.at('ours')))).toMatchObject({ exit: 0 })
    expect((await runWalg(get('theirs', place.at('theirs')), { env })).exit).toBe(0)
    for (const name of ['ours', 'theirs']) {
      expect(readFileSync(place.at(name)).equals(readFileSync(large))).toBe(true)
    }
    const ls = ['st', 'ls']
    expect((await runWalg(ls, { env })).stdout).toBe((await original(ls)).stdout)
  })
})
