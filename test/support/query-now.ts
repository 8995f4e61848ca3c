import { spawnSync } from 'node:child_process'
import path from 'node:path'
import type { Cluster } from './cluster.ts'
import type { TestContext } from './operation-context.ts'

/** Runs SQL while this process waits: what happens on the server at one exact moment of a push. */
export function queryNow(cluster: Cluster, statements: readonly string[]): void {
  const code = `
    const { default: pg } = await import('pg')
    const client = new pg.Client({ host: process.env.PGHOST, port: Number(process.env.PGPORT),
      user: process.env.PGUSER, password: process.env.PGPASSWORD, database: 'postgres' })
    await client.connect()
    for (const statement of ${JSON.stringify(statements)}) await client.query(statement)
    await client.end()`
  const env = { PATH: process.env['PATH'], ...cluster.environment }
  const { status, stderr } = spawnSync(process.execPath, ['-e', code], {
    env,
    cwd: path.resolve(import.meta.dir, '../..'),
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the statements failed: ${stderr}`)
}

/** The context of an operation that runs `action` when it says `message`, before it goes on. */
export function atMessage(context: TestContext, message: RegExp, action: () => void): TestContext {
  const info = (said: string): void => {
    context.log.info(said)
    if (message.test(said)) action()
  }
  return { ...context, log: { ...context.log, info } }
}

/** The context of a push that runs `action` when the backup has begun and the walk has not. */
export function beforeWalk(context: TestContext, action: () => void): TestContext {
  return atMessage(context, /^Walking \.\.\.$/, action)
}
