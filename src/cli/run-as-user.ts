import { spawn } from 'node:child_process'
import { WalgError } from '../kit/errors.ts'
import { readPasswd } from '../postgres/server/user-database.ts'
import type { FlagDefinition, Invocation } from './command.ts'
import { EXIT_FAILURE } from './exit-code.ts'

export const USER_FLAG: FlagDefinition = {
  name: 'user',
  type: 'string',
  doc: 'As root: runs as this user of the operating system, which then owns what is restored',
}

/**
 * With `--user` as root: runs the same command again as that user, and returns its exit status. Undefined: this process
 * is the one to do the work. Throws USAGE for a user that there is not, or when somebody else is asked for without being root.
 */
export async function runAsUser(invocation: Invocation, verb: string): Promise<number | undefined> {
  const { flags, program, positionals, signal } = invocation
  if (flags['user'] === undefined) return undefined
  const wanted = String(flags['user'])
  const entry = readPasswd().find(({ name }) => name === wanted)
  if (entry === undefined) throw new WalgError('USAGE', `there is no user "${wanted}" on this host`)
  const uid = process.getuid?.()
  if (uid === entry.uid) return undefined
  if (uid !== 0) throw new WalgError('USAGE', `only root can run as "${wanted}"`)
  const words = Object.entries(flags).flatMap(([name, value]) =>
    name === 'user' || value === undefined ? [] : flagWords(name, value),
  )
  const globals = new Set(program.globalArgs)
  const args = [...program.args, verb, ...program.globalArgs, ...words.filter(word => !globals.has(word))]
  const child = spawn(program.executable, [...args, '--', ...positionals], {
    uid: entry.uid,
    gid: entry.gid,
    cwd: process.cwd(),
    env: { ...process.env, HOME: entry.home, USER: entry.name, LOGNAME: entry.name },
    stdio: 'inherit',
  })
  const stop = (): void => void child.kill('SIGTERM')
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', code => resolve(code ?? EXIT_FAILURE))
    })
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function flagWords(name: string, value: Exclude<Invocation['flags'][string], undefined>): string[] {
  if (Array.isArray(value)) return value.map(each => `--${name}=${each}`)
  return [`--${name}=${String(value)}`]
}
