import { readFileSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { cleanUpAtEnd } from '../../support/leftovers.ts'
import { untilTrue } from '../../support/until-true.ts'

/** A server that the program has started itself; stopped by its process id. */
export class RestoredServer implements AsyncDisposable {
  readonly data: string
  readonly port: number
  readonly #forget: () => void

  constructor(data: string, port: number) {
    this.data = data
    this.port = port
    this.#forget = cleanUpAtEnd(() => this.stop())
  }

  get pid(): number | undefined {
    try {
      return Number(readFileSync(path.join(this.data, 'postmaster.pid'), 'utf8').split('\n', 1)[0])
    } catch {
      return undefined
    }
  }

  async query(sql: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: this.port,
      user: 'postgres',
      database: 'postgres',
    })
    client.on('error', () => undefined)
    await client.connect()
    try {
      const result = await client.query(sql)
      return (Array.isArray(result) ? result.at(-1) : result).rows
    } finally {
      await client.end()
    }
  }

  log(): string {
    return readFileSync(`${this.data}.log`, 'utf8')
  }

  async stop(): Promise<void> {
    const { pid } = this
    if (pid === undefined) return
    process.kill(pid, 'SIGINT')
    await untilTrue(() => this.pid === undefined, 30_000, 'the restored server ending')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    this.#forget()
  }
}
