import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Cluster, startCluster, startRestored } from '../support/cluster.ts'
import type { Major } from '../support/postgres-binaries.ts'
import { tempDirectory } from '../support/temp-directory.ts'

export interface Pair extends AsyncDisposable {
  readonly primary: Cluster
  readonly standby: Cluster
}

/** A primary and a standby that streams from it. */
export async function startPair(major: Major): Promise<Pair> {
  const primary = await startCluster({ major })
  await primary.stop()
  const directory = tempDirectory(`standby${major}`)
  const data = directory.at('data')
  mkdirSync(data)
  cpSync(primary.dataDirectory, data, { recursive: true, verbatimSymlinks: true })
  await primary.start()
  const standby = await startRestored(data, {
    major,
    signal: 'standby',
    until: 'consistent',
    settings: { primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres`, archive_mode: 'off' },
  })
  return {
    primary,
    standby,
    async [Symbol.asyncDispose]() {
      await standby.remove()
      await primary.remove()
      directory.remove()
    },
  }
}

/** A file in the data directory of a cluster. */
export function dataFile(cluster: Cluster, ...names: string[]): string {
  return join(cluster.dataDirectory, ...names)
}
