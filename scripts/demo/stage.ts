import { spawnSync } from 'node:child_process'
import pg from 'pg'
import { asClusterUser } from '../../test/support/cluster-user.ts'

const isColorful = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
const paint = (code: number, text: string): string => (isColorful ? `\x1b[${code}m${text}\x1b[0m` : text)

/** A heading: what comes next and why. */
export function say(text: string): void {
  console.log(`\n${paint(1, text)}`)
}

/** Runs a shell command as the cluster's user, after printing it; its output is shown. A failure ends the demo. */
export function shell(command: string): void {
  console.log(paint(36, `$ ${command}`))
  const result = spawnSync('/bin/sh', ['-c', command], {
    ...asClusterUser,
    cwd: '/',
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C', TZ: 'UTC' },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (result.status !== 0) throw new Error(`the command ended with ${result.status ?? result.signal}`)
}

/** Runs SQL on the demo's server, after printing it; returns the first row. */
export async function sql(port: number, text: string): Promise<Record<string, unknown>> {
  console.log(paint(36, `sql> ${text}`))
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  client.on('error', () => undefined) // the connection goes with the server
  await client.connect()
  try {
    const { rows } = await client.query(text)
    const row = (rows[0] ?? {}) as Record<string, unknown>
    if (rows.length > 0) console.log(JSON.stringify(row))
    return row
  } finally {
    await client.end()
  }
}
