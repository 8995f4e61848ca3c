import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { type S3Double, startS3Double } from '../../doubles/s3-server.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { segmentName, walBytes } from '../../support/wal-bytes.ts'
import { runWalg } from '../../support/walg.ts'

let double: S3Double
let place: TempDirectory

beforeAll(async () => {
  double = await startS3Double()
  // a policy with s3:PutObject alone
  double.intercept = ({ method }) => {
    if (method !== 'GET' && method !== 'HEAD') return undefined
    const body =
      method === 'GET' ? '<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>' : ''
    return { status: 403, headers: { 'content-type': 'application/xml' }, body }
  }
  place = tempDirectory('s3-write-only')
  mkdirSync(place.at('pg_wal', 'archive_status'), { recursive: true })
})
afterAll(async () => {
  await double.close()
  place.remove()
})

const push = (name: string, settings: Record<string, string>) =>
  runWalg(['wal-push', place.at('pg_wal', name)], {
    env: { ...double.settings(), WALG_PG_WAL_SIZE: '1', ...settings },
  })

test('a policy that allows to put alone archives without the guard, and says with it why not', async () => {
  const names = [segmentName(1), '00000002.history', segmentName(2)]
  for (const name of names) {
    writeFileSync(
      place.at('pg_wal', name),
      name.endsWith('.history') ? '1\t0/3000000\tno recovery target specified\n' : walBytes(name),
    )
    const guarded = await push(name, {})
    expect(guarded.exit).toBe(1)
    expect(guarded.stderr).toContain('WALG_PREVENT_WAL_OVERWRITE=false archives without looking')
    const { exit, stderr } = await push(name, { WALG_PREVENT_WAL_OVERWRITE: 'false' })
    expect([exit, stderr.includes('ERROR')]).toEqual([0, false])
    expect([...double.objects.keys()].some(key => key.includes(`wal_005/${name}`))).toBe(true)
  }
}, 120_000)
