import { readFileSync } from 'node:fs'

export interface CommandLine {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Reading {
  readonly wallMs: number
  /** User and system time of the process and of the children it waited for. A server's share is not in it. */
  readonly cpuMs: number
}

const HOME = '/nonexistent'

/** Runs a command to its end and times it. Throws when it fails. */
export function time({ file, args, env }: CommandLine): Reading {
  const begin = performance.now()
  const result = Bun.spawnSync([file, ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME, TZ: 'UTC', ...env },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const wallMs = performance.now() - begin
  if (result.exitCode !== 0) {
    throw new Error(`${file} ${args.join(' ')} ended with ${result.exitCode}:\n${result.stderr}`)
  }
  return { wallMs, cpuMs: Number(result.resourceUsage.cpuTime.total) / 1000 }
}

/**
 * The largest sum of resident memory over the process and its descendants, in bytes. Read from /proc as often as
 * possible, in a run of its own: `ru_maxrss` would count what the parent had before the exec. For a process that is alone
 * its own high-water mark, which nothing can slip through.
 */
export async function peakMemory({ file, args, env }: CommandLine): Promise<number> {
  const child = Bun.spawn([file, ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME, TZ: 'UTC', ...env },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
  })
  let isRunning = true
  const ended = child.exited.then(() => {
    isRunning = false
  })
  let peakBytes = 0
  while (isRunning) {
    peakBytes = Math.max(peakBytes, treeMemory(child.pid))
    await Bun.sleep(1)
  }
  await ended
  if (child.exitCode !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${child.exitCode}`)
  return peakBytes
}

function treeMemory(pid: number): number {
  const children = childrenOf(pid)
  if (children.length === 0) return memoryOf(pid, 'VmHWM')
  return memoryOf(pid, 'VmRSS') + children.reduce((sum, child) => sum + treeMemory(child), 0)
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number)
}

function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024
}

/** Empty for a process that has ended. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
