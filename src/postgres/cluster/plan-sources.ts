import { readFileSync, statSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import type { PlanSources } from './connection-settings.ts'

/** The real machine. */
export function systemSources(): PlanSources {
  return {
    userName: currentUserName(),
    homeDirectory: homedir(),
    userId: process.geteuid?.(),
    readText: path => orUndefined(path, () => readFileSync(path, 'utf8')),
    stat: path =>
      orUndefined(path, () => {
        const stats = statSync(path)
        return { isFile: stats.isFile(), mode: stats.mode & 0o7777, uid: stats.uid }
      }),
  }
}

/** A container may run as a user that the system has no name for. */
function currentUserName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}

function orUndefined<T>(path: string, action: () => T): T | undefined {
  try {
    return action()
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined
    throw fromSystemError(error, 'read', path)
  }
}
