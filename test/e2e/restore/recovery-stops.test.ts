import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, type RestoredOptions, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { untilTrue } from '../../support/until-true.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  untilPromoted,
  walg,
} from '../archiving-cluster.ts'

interface Lost extends AsyncDisposable {
  readonly source: ArchivingCluster
  /** What there was at the end of the archive. */
  readonly digest: string
  /** Archived segments after the backup, oldest first. */
  readonly segments: readonly string[]
}

/** A server that was backed up, filled some more segments, and died. */
async function loseServer(major: 13 | 18, compression: string): Promise<Lost> {
  const source = await startArchivingCluster({ major, segmentSizeMiB: 1, compression })
  const { cluster } = source
  await cluster.query(LEDGER_SQL)
  await walg(['backup-push', cluster.dataDirectory], source.connection())
  const segments: string[] = []
  for (let round = 0; round < 5; round++) {
    await cluster.query(
      `insert into ledger (note) select md5(g::text) || ${round} from generate_series(1, 2000) g`,
    )
    segments.push(await archiveEverything(cluster))
  }
  const state = await digest(cluster, 'ledger')
  await cluster.kill()
  return { source, digest: state, segments, [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() }
}

async function fetchInto(lost: Lost, name: string): Promise<string> {
  const data = lost.source.place.at(name)
  await walg(['backup-fetch', data, 'LATEST'], lost.source.settings)
  return data
}

/** Starts a restored directory; without read-ahead, so that it is the server's own fetch that meets the trouble. */
function startOn(data: string, lost: Lost, options: Partial<RestoredOptions>): Promise<Cluster> {
  const settings = { ...lost.source.settings, WALG_DOWNLOAD_CONCURRENCY: '1' }
  return startRestored(data, {
    major: lost.source.cluster.major,
    ...options,
    settings: {
      restore_command: walgCommand(settings, 'wal-fetch %f %p'),
      wal_retrieve_retry_interval: '200ms',
      ...options.settings,
    },
  })
}

/** A restore_command that runs `before` when it is asked for `segment`. */
function commandWithAccident(lost: Lost, segment: string, before: string): string {
  const script = lost.source.place.at('restore.sh')
  const settings = { ...lost.source.settings, WALG_DOWNLOAD_CONCURRENCY: '1' }
  const command = walgCommand(settings, 'wal-fetch "$1" "$2"').replaceAll('%%', '%')
  writeFileSync(script, `#!/bin/sh\nif [ "$1" = ${segment} ]; then ${before}; fi\nexec ${command}\n`)
  giveToClusterUser(script, 0o755)
  return `${script} %f %p`
}

const timelines = (data: string): string[] =>
  readdirSync(path.join(data, 'pg_wal')).filter(name => name.endsWith('.history'))

/** PostgreSQL's words for exit status 126. */
const STOPPED = /FATAL: {2}could not restore file "\w+(\.history)?" from archive: command not executable/

async function expectStopped(server: Cluster, data: string): Promise<void> {
  expect(server.pid).toBeUndefined()
  expect(server.log()).toMatch(STOPPED)
  expect(server.log()).not.toContain('selected new timeline')
  expect(timelines(data)).toEqual([])
  expect(existsSync(path.join(data, 'recovery.signal'))).toBe(true)
}

const CASES = [
  [13, '', 'none'], // damage shows in the records of the WAL only
  [18, '.lz4', 'lz4'],
] as const

describe.each(CASES)('PostgreSQL %d', (major, extension, compression) => {
  if (missingPostgres(major) !== undefined) {
    test.skip(`recovery [skipped: ${missingPostgres(major)}]`, () => undefined)
    return
  }
  let lost: Lost
  const objectOf = (segment: string): string =>
    path.join(lost.source.repository, 'wal_005', `${segment}${extension}`)

  beforeAll(async () => {
    lost = await loseServer(major, compression)
  }, 60_000)
  afterAll(() => lost[Symbol.asyncDispose](), 60_000)

  test('in recovery it stops when the archive cannot be reached, and goes on to the end when it is back', async () => {
    const { repository } = lost.source
    const data = await fetchInto(lost, 'unreachable')
    const accident = `mv ${repository} ${repository}.away 2>/dev/null`
    const restore_command = commandWithAccident(lost, lost.segments[2]!, accident)
    await using server = await startOn(data, lost, { until: 'ended', settings: { restore_command } })
    await expectStopped(server, data)
    expect(server.log()).toContain(`stat ${repository}: no such file or directory`)

    renameSync(`${repository}.away`, repository)
    server.configure({ restore_command: walgCommand(lost.source.settings, 'wal-fetch %f %p') })
    await server.start()
    await untilPromoted(server)
    expect(await digest(server, 'ledger')).toBe(lost.digest)
    expect(timelines(data)).toEqual(['00000002.history'])
  }, 90_000)

  test('in recovery it stops at a damaged segment, and its log names the object', async () => {
    const object = objectOf(lost.segments[2]!)
    const intact = readFileSync(object)
    const damaged = Buffer.from(intact)
    damaged[damaged.length >> 3]! ^= 0x10
    writeFileSync(object, damaged)
    const data = await fetchInto(lost, 'damaged')
    await using server = await startOn(data, lost, { until: 'ended' })
    await expectStopped(server, data)
    expect(server.log()).toContain(`ERROR: `)
    expect(server.log()).toContain(`wal_005/${lost.segments[2]}${extension}`)

    writeFileSync(object, intact)
    await server.start()
    await untilPromoted(server)
    expect(await digest(server, 'ledger')).toBe(lost.digest)
  }, 90_000)

  test('in recovery it stops when the settings of wal-fetch cannot be used', async () => {
    const data = await fetchInto(lost, 'misconfigured')
    const restore_command = walgCommand(lost.source.settings, '--config /nonexistent.yaml wal-fetch %f %p')
    await using server = await startOn(data, lost, { until: 'ended', settings: { restore_command } })
    await expectStopped(server, data)
    expect(server.log()).toContain('/nonexistent.yaml')
  }, 90_000)

  test('as a standby it keeps running while the archive is away or damaged, and catches up when that is mended', async () => {
    const { repository } = lost.source
    const object = objectOf(lost.segments[3]!)
    const intact = readFileSync(object)
    writeFileSync(object, intact.subarray(0, intact.length >> 1))
    const data = await fetchInto(lost, 'standby')
    // once: a try that comes just before the archive does must not take it away again
    const accident = `[ -e ${repository}.gone ] || { touch ${repository}.gone; mv ${repository} ${repository}.away; }`
    const restore_command = commandWithAccident(lost, lost.segments[2]!, accident)
    await using standby = await startOn(data, lost, {
      signal: 'standby',
      until: 'consistent',
      settings: { restore_command },
    })
    const countOf = (text: string): number => standby.log().split(text).length - 1
    await untilTrue(() => countOf(`stat ${repository}: no such file`) >= 3, 30_000, 'tries without archive')
    renameSync(`${repository}.away`, repository)
    const name = `wal_005/${lost.segments[3]}${extension}`
    await untilTrue(() => countOf(name) >= 3, 30_000, 'tries with the damaged object')
    writeFileSync(object, intact)
    await untilTrue(async () => (await digest(standby, 'ledger')) === lost.digest, 30_000, 'catching up')
    expect(await standby.query('select pg_is_in_recovery() as recovering')).toEqual([{ recovering: true }])
    expect(standby.log()).not.toContain('FATAL')
    expect(timelines(data)).toEqual([])
  }, 90_000)

  test('the end of the archive promotes a server in recovery, and a standby goes on waiting', async () => {
    await using server = await startOn(await fetchInto(lost, 'ended'), lost, {})
    expect(await digest(server, 'ledger')).toBe(lost.digest)
    expect(server.log()).not.toMatch(STOPPED)
    const data = await fetchInto(lost, 'waiting')
    await using standby = await startOn(data, lost, { signal: 'standby', until: 'consistent' })
    await untilTrue(async () => (await digest(standby, 'ledger')) === lost.digest, 30_000, 'the end')
    const asked = (): number => standby.log().split(/Archive '\w+' does not exist/).length
    const before = asked()
    await untilTrue(() => asked() > before + 2, 30_000, 'further questions of the standby')
    expect(standby.log()).not.toContain('FATAL')
    expect(timelines(data)).toEqual([])
  }, 90_000)
})
