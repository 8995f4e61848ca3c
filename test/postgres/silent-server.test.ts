import { expect, test } from 'bun:test'
import { silentLogger } from '../../src/kit/log.ts'
import { connectCluster } from '../../src/postgres/cluster/connect.ts'
import { type BaseBackupEvent, readBaseBackup } from '../../src/postgres/replication/base-backup.ts'
import { startWire, type Wire } from '../doubles/wire.ts'
import { type Cluster as Server, startCluster } from '../support/cluster.ts'

const never = new AbortController().signal
const SILENCE_MS = 400

/** A base backup over the wire; `onEvent` may take its time. */
async function takeBackup(
  server: Server,
  wire: Wire,
  majorVersion: number,
  onEvent: (event: BaseBackupEvent) => Promise<void> | void,
): Promise<void> {
  await using cluster = await connectCluster(
    { ...server.environment, PGPORT: String(wire.port), PGHOST: '127.0.0.1' },
    { log: silentLogger, signal: never },
  )
  await using session = await cluster.openReplication()
  const backup = {
    label: 'silence',
    majorVersion,
    isVerifying: true,
    bytesPerSecond: undefined,
    silenceMs: SILENCE_MS,
  }
  for await (const event of readBaseBackup(session, backup, () => {})) await onEvent(event)
}

for (const majorVersion of [14, 17] as const) {
  test(`PostgreSQL ${majorVersion}: a server that falls silent while it sends is given up`, async () => {
    await using server = await startCluster({ major: majorVersion })
    await using wire = await startWire(server.port)
    let seen = 0
    const backup = takeBackup(server, wire, majorVersion, event => {
      if (event.kind !== 'data') return
      seen += event.bytes.length
      if (seen > 3_000_000) wire.stall()
    })
    await expect(backup).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('has sent nothing for'),
    })
    expect(seen).toBeGreaterThan(3_000_000)
  }, 60_000)

  test(`PostgreSQL ${majorVersion}: a long checkpoint at the beginning is no silence, nor is a reader who takes his time`, async () => {
    await using server = await startCluster({ major: majorVersion })
    await using wire = await startWire(server.port)
    const kinds = new Set<string>()
    let events = 0
    // answers follow each other as fast as ever, but the first one comes later than the limit
    const delayed = takeBackup(server, wire, majorVersion, async event => {
      kinds.add(event.kind)
      if (event.kind === 'data' && ++events === 200) await Bun.sleep(2 * SILENCE_MS)
    })
    wire.delayAnswers(3 * SILENCE_MS)
    await delayed
    expect([...kinds]).toEqual(['begin', 'archive', 'data', 'end'])
    expect(events).toBeGreaterThan(200)
  }, 60_000)
}
