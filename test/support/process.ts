import { type ChildProcess, spawn } from 'node:child_process'
import { asClusterUser } from './cluster-user.ts'

export interface RunOptions {
  /** The whole environment; nothing is inherited. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Run as the cluster's user (only different from us when the tests run as root). */
  readonly asClusterUser?: boolean
  readonly stdin?: string | Uint8Array
  /** SIGKILL after this long, and an error. Default 120 s. */
  readonly timeoutMs?: number
}

export interface Finished {
  /** Exit status; null when a signal ended it. */
  readonly exit: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stdoutBytes: Buffer
  readonly stderr: string
}

export interface Started {
  readonly pid: number
  readonly child: ChildProcess
  /** What it has said on stderr so far. */
  stderr(): string
  kill(signal?: NodeJS.Signals): void
  readonly finished: Promise<Finished>
}

/** Starts a program without waiting. Only a program that cannot be started, or a timeout, rejects. */
export function startProcess(file: string, args: readonly string[], options: RunOptions = {}): Started {
  const child = spawn(file, [...args], {
    ...(options.asClusterUser === true ? asClusterUser : {}),
    cwd: options.cwd ?? '/',
    env: options.env ?? { PATH: process.env['PATH'], LC_ALL: 'C' },
    stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', chunk => stdout.push(chunk))
  child.stderr?.on('data', chunk => stderr.push(chunk))
  child.stdin?.on('error', () => undefined) // it may end without reading everything
  child.stdin?.end(options.stdin)
  const errorText = (): string => Buffer.concat(stderr).toString()
  const finished = new Promise<Finished>((resolve, reject) => {
    const timeoutMs = options.timeoutMs ?? 120_000
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${file} ${args.join(' ')}: still running after ${timeoutMs} ms\n${errorText()}`))
    }, timeoutMs)
    child.once('error', error => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (exit, signal) => {
      clearTimeout(timer)
      const stdoutBytes = Buffer.concat(stdout)
      resolve({ exit, signal, stdoutBytes, stdout: stdoutBytes.toString(), stderr: errorText() })
    })
  })
  finished.catch(() => undefined) // whoever awaits it sees the error
  return {
    pid: child.pid ?? -1,
    child,
    stderr: errorText,
    kill: signal => void child.kill(signal ?? 'SIGKILL'),
    finished,
  }
}

/** Runs a program to its end. */
export function runProcess(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  return startProcess(file, args, options).finished
}

/** Runs an oracle (`lz4`, `tar`, …): anything but exit 0 is an error with its stderr. */
export async function runTool(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const finished = await runProcess(file, args, options)
  if (finished.exit !== 0) {
    throw new Error(
      `${file} ${args.join(' ')}: ended with ${finished.exit ?? finished.signal}\n${finished.stderr}`,
    )
  }
  return finished
}
