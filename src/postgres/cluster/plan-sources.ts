import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import { effectiveUserName } from '../server/user-database.ts'
import type { PlanSources } from './connection-settings.ts'

/** The real machine. */
export function systemSources(): PlanSources {
  return {
    get userName() {
      return effectiveUserName()
    },
    homeDirectory: currentHome(),
    userId: process.geteuid?.(),
    readText: path => orUndefined(path, () => readFileSync(path, 'utf8')),
    stat: path =>
      orUndefined(path, () => {
        const stats = statSync(path)
        return { isFile: stats.isFile(), mode: stats.mode & 0o7777, uid: stats.uid }
      }),
  }
}

/** `$HOME`, else what the system has, as in libpq; a user without a name may have neither. */
function currentHome(): string {
  try {
    return homedir()
  } catch {
    return '/'
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
