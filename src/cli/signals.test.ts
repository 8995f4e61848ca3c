import { describe, expect, test } from 'bun:test'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const SCRIPT = `
import { abortOnSignals, STOP_SIGNALS } from ${JSON.stringify(join(import.meta.dir, 'signals.ts'))}
const signal = abortOnSignals(STOP_SIGNALS, name => console.log('first ' + name), () => process.exit(42))
signal.addEventListener('abort', () => console.log(signal.reason.code + ' ' + signal.reason.message))
setInterval(() => {}, 1000)
console.log('ready')
`

/** Sends each signal after the child has said the text before it. */
async function signalled(
  steps: readonly (readonly [after: string, name: NodeJS.Signals])[],
  wrapper: readonly string[] = [],
): Promise<{ exit: number | null; signal: NodeJS.Signals | null; output: string }> {
  const [file = '', ...args] = [...wrapper, process.execPath, '-e', SCRIPT]
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  const todo = [...steps]
  child.stdout.on('data', chunk => {
    output += chunk
    while (todo[0] !== undefined && output.includes(todo[0][0])) child.kill(todo.shift()![1])
  })
  const [exit, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { exit, signal, output }
}

describe('signals', () => {
  test('the first one aborts with CANCELLED, the second one leaves at once', async () => {
    const { exit, output } = await signalled([
      ['ready', 'SIGTERM'],
      ['CANCELLED', 'SIGINT'],
    ])
    expect(output).toBe('ready\nfirst SIGTERM\nCANCELLED interrupted by SIGTERM\n')
    expect(exit).toBe(42)
  })

  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
    test(`${name} stops a command in order`, async () => {
      const { exit, signal, output } = await signalled([
        ['ready', name],
        ['CANCELLED', 'SIGTERM'],
      ])
      expect(output).toBe(`ready\nfirst ${name}\nCANCELLED interrupted by ${name}\n`)
      expect([exit, signal]).toEqual([42, null])
    })
  }

  test('SIGHUP stays ignored under nohup', async () => {
    const { exit, output } = await signalled(
      [
        ['ready', 'SIGHUP'],
        ['ready', 'SIGTERM'],
        ['CANCELLED', 'SIGTERM'],
      ],
      ['nohup'],
    )
    expect(output).toBe('ready\nfirst SIGTERM\nCANCELLED interrupted by SIGTERM\n')
    expect(exit).toBe(42)
  })
})
