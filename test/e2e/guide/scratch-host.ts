import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { type Cluster, freePort, startCluster } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { cleanUpAtEnd } from '../../support/leftovers.ts'
import { type Major, postgresDirectory } from '../../support/postgres-binaries.ts'
import { runProcess } from '../../support/process.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { walgBinary } from '../../support/walg.ts'
import { HBA } from '../archiving-cluster.ts'
import type { Block } from './document-blocks.ts'

/**
 * A host as the documents describe it, in a temporary folder: the paths and ports in their blocks are replaced by those of this
 * host, everything else runs as it stands.
 */
export class ScratchHost {
  readonly cluster: Cluster
  readonly place: TempDirectory
  /** Where the documents restore to, and the port that the restored server gets. */
  readonly restored: string
  readonly restoredPort: number
  readonly #names: readonly (readonly [string, string])[]
  readonly #path: string

  private constructor(cluster: Cluster, place: TempDirectory, restoredPort: number) {
    this.cluster = cluster
    this.place = place
    this.restored = place.at('postgresql/restored')
    this.restoredPort = restoredPort
    this.#names = [
      ['/var/lib/postgresql/18/main', cluster.dataDirectory],
      ['/var/lib/postgresql/18', place.at('postgresql')],
      ['/srv/wal-g', place.at('srv')],
      ['/etc/wal-g', place.at('etc')],
      ['/usr/bin/wal-g', place.at('bin/wal-g')],
      ['5432', String(cluster.port)],
      ['5433', String(restoredPort)],
    ]
    const server = path.join(postgresDirectory(cluster.major), 'bin')
    this.#path = [place.at('bin'), server, process.env['PATH'], '/usr/lib/postgresql/15/bin'].join(':')
  }

  static async open(major: Major): Promise<ScratchHost> {
    const place = tempDirectory('host')
    for (const name of ['bin', 'etc', 'srv', 'postgresql']) {
      mkdirSync(place.at(name))
      giveToClusterUser(place.at(name), 0o755)
    }
    symlinkSync(walgBinary(), place.at('bin/wal-g'))
    const settings = { password_encryption: 'scram-sha-256', wal_keep_size: '512MB' }
    const cluster = await startCluster({ major, settings })
    writeFileSync(path.join(cluster.dataDirectory, 'pg_hba.conf'), `${HBA.join('\n')}\n`)
    await cluster.reload()
    return new ScratchHost(cluster, place, await freePort())
  }

  /** The text of a block with the names of this host. */
  localise(text: string): string {
    return this.#names.reduce((done, [from, to]) => done.replaceAll(from, to), text)
  }

  /** Runs a block of shell commands as the server's user; any command that fails is an error. Returns its output. */
  async shell(block: Block, edit: (text: string) => string = text => text): Promise<string> {
    const { exit, stdout, stderr } = await runProcess('/bin/sh', ['-ec', edit(this.localise(block.text))], {
      asClusterUser: true,
      env: { PATH: this.#path, TZ: 'UTC', HOME: this.place.path, LC_ALL: 'C' },
    })
    if (exit !== 0) throw new Error(`${block.place}: status ${exit}\n${stdout}${stderr}`)
    return stdout + stderr
  }

  /** Runs the statements of a block as superuser; returns the rows of the last one. */
  async sql(block: Block, port: number = this.cluster.port): Promise<Record<string, unknown>[]> {
    const place = { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' }
    const client = new pg.Client({ ...place, query_timeout: 60_000 })
    client.on('error', () => undefined)
    await client.connect()
    try {
      const result = await client.query(block.text)
      return (Array.isArray(result) ? result.at(-1) : result).rows
    } finally {
      await client.end()
    }
  }

  /** Runs one statement on the restored server. */
  ask(sql: string): Promise<Record<string, unknown>[]> {
    const place = 'a statement of the test'
    return this.sql({ place, language: 'sql', attributes: new Map(), text: sql }, this.restoredPort)
  }

  /** Ends the restored server, however it was started. */
  async stopRestored(): Promise<void> {
    const text = 'pg_ctl -D /var/lib/postgresql/18/restored -m immediate -w stop\n'
    await this.shell({ place: 'stop', language: 'sh', attributes: new Map(), text })
  }

  /** Lets a server that a block started be stopped after a failed test, too. */
  stopRestoredAtEnd(): () => void {
    return cleanUpAtEnd(() => this.stopRestored().catch(() => undefined))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.remove()
    this.place.remove()
  }
}
