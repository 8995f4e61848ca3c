import { spawnSync } from 'node:child_process'

/**
 * Runs a program to its end, without a shell and without stdin. Its output is collected, or shown with
 * `isShown`.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, isShown?: boolean, timeoutMs?: number }} [options]
 * @returns {{ status: number, stdout: string, stderr: string }}
 */
export function run(file, args, { cwd, env, isShown = false, timeoutMs } = {}) {
  const result = spawnSync(file, args, {
    cwd,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    env: env ?? process.env,
    stdio: isShown ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  })
  return {
    status: result.error === undefined ? (result.status ?? 1) : 127,
    stdout: result.stdout ?? '',
    stderr: result.error === undefined ? (result.stderr ?? '') : String(result.error.message),
  }
}
