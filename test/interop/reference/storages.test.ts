import { afterAll, beforeAll, expect } from 'bun:test'
import { rmSync } from 'node:fs'
import { archiveEverything, digest, LEDGER_SQL } from '../../e2e/archiving-cluster.ts'
import { startCluster, startRestored } from '../../support/cluster.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { missingSshd, type SftpServer, startSftpServer } from '../../support/servers/sftp-server.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../../support/servers/swift-server.ts'
import { describeUnless, missingReference, testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { commandLine, type Environment, succeed, type Tool } from './pair.ts'

const MAJOR = 16

/** `writer` archives and pushes, `reader` restores with all WAL, and at last deletes everything. */
async function prove(writer: Tool, reader: Tool, storage: Environment): Promise<void> {
  const place = tempDirectory('reference-storages')
  const target = place.at('restored')
  await using cluster = await startCluster({
    major: MAJOR,
    archiveCommand: commandLine(writer, storage, 'wal-push "%p"'),
  })
  await cluster.query(LEDGER_SQL)
  await succeed(writer, ['backup-push', cluster.dataDirectory], { ...storage, ...cluster.environment })
  await cluster.query(`insert into ledger (note) select 'after the backup' from generate_series(1, 500)`)
  await archiveEverything(cluster)
  const noted = await digest(cluster, 'ledger')
  await cluster.stop()

  const listed = await succeed(reader, ['backup-list', '--json'], storage)
  expect(JSON.parse(listed.stdout)).toHaveLength(1)
  await succeed(reader, ['backup-fetch', target, 'LATEST'], storage)
  {
    await using restored = await startRestored(target, {
      major: MAJOR,
      settings: { restore_command: commandLine(reader, storage, 'wal-fetch "%f" "%p"') },
    })
    expect(await digest(restored, 'ledger')).toBe(noted)
  }
  rmSync(target, { recursive: true })
  await succeed(reader, ['delete', 'everything', 'FORCE', '--confirm'], storage)
  expect((await succeed('ours', ['backup-list'], storage)).stdout).toBe('')
  place.remove()
}

const PAIRS = [
  ['ours', 'original'],
  ['original', 'ours'],
] as const

describeUnless(
  missingReference() ?? missingSshd() ?? missingPostgres(MAJOR),
  'the original and ours over SFTP',
  () => {
    let server: SftpServer
    beforeAll(async () => {
      server = await startSftpServer()
    })
    afterAll(() => server.stop())

    for (const [writer, reader] of PAIRS) {
      testUnless(
        undefined,
        `what ${writer} has pushed, ${reader} restores and deletes`,
        () => prove(writer, reader, server.settings(server.newRoot())),
        180_000,
      )
    }
  },
)

describeUnless(
  missingReference() ?? missingSwift() ?? missingPostgres(MAJOR),
  'the original and ours over Swift',
  () => {
    let server: SwiftServer
    beforeAll(async () => {
      server = await startSwiftServer()
    })
    afterAll(() => server.stop())

    for (const [writer, reader] of PAIRS) {
      testUnless(
        undefined,
        `what ${writer} has pushed, ${reader} restores and deletes, segments of large objects included`,
        async () => {
          const container = await server.createContainer()
          const storage = {
            ...server.swift,
            WALG_SWIFT_PREFIX: `swift://${container}/a/path`,
            SWIFT_SEGMENT_SIZE: '300000',
          }
          await prove(writer, reader, storage)
          const left = (await (await server.request('GET', `/${container}?format=json`)).json()) as {
            name: string
          }[]
          expect(left.map(({ name }) => name).filter(name => name.includes('basebackups_005'))).toEqual([])
        },
        180_000,
      )
    }
  },
)
