import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import { cleanUpAtEnd } from '../leftovers.ts'
import type { TempDirectory } from '../temp-directory.ts'

export const PYTHON = '/usr/bin/python3'

export interface PythonServer {
  readonly child: ChildProcess
  /** Ends it and removes its directory. */
  stop(): Promise<void>
}

/** Starts a script of `swift/` that serves from `directory`; stopped after the file's tests at the latest. */
export function startPython(script: string, directory: TempDirectory, args: readonly string[]): PythonServer {
  const file = path.join(import.meta.dir, 'swift', script)
  const env = { PATH: '/usr/bin:/bin', PYTHONDONTWRITEBYTECODE: '1', LC_ALL: 'C.UTF-8' }
  // Swift's ends when its input does
  const child = spawn(PYTHON, [file, directory.path, ...args], {
    env,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    keep()
    directory.remove()
  }
  const keep = cleanUpAtEnd(stop)
  return { child, stop }
}
