import { expect, test } from 'bun:test'
import path from 'node:path'
import { runProcess } from '../support/process.ts'

const TIMEOUT_MS = 50 * 60_000

test(
  'every recorded way to break a guard makes its test fail',
  async () => {
    const script = path.resolve(import.meta.dir, '../mutations/run.ts')
    const run = await runProcess(process.execPath, [script], {
      env: { ...process.env },
      timeoutMs: TIMEOUT_MS,
    })
    const survivors = run.stdout.split('\n').filter(line => line.startsWith('SURVIVED'))
    expect([survivors, run.stderr, run.exit]).toEqual([[], '', 0])
  },
  TIMEOUT_MS,
)
