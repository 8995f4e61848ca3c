import { join } from 'node:path'
import type { Logger } from '../../kit/log.ts'
import { atUsualPlace, type PlanSources } from './connection-settings.ts'

export interface PasswordQuestion {
  /** Host name or address as given; `localhost` for a default socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
}

const OTHERS_MAY = 0o077

/**
 * The password that `~/.pgpass` (or PGPASSFILE) has for a connection. As libpq, a file that others may read is
 * ignored with a WARNING.
 */
export function readPasswordFile(
  path: string | undefined,
  sources: PlanSources,
  log: Logger,
): (question: PasswordQuestion) => string | undefined {
  const file = path ?? join(sources.homeDirectory, '.pgpass')
  const stats = path === undefined ? atUsualPlace(() => sources.stat(file)) : sources.stat(file)
  if (stats === undefined) {
    if (path !== undefined) log.warning(`password file "${file}" is not there`)
    return () => undefined
  }
  if (!stats.isFile) {
    log.warning(`password file "${file}" is not a plain file and is ignored`)
    return () => undefined
  }
  if ((stats.mode & OTHERS_MAY) !== 0) {
    log.warning(
      `password file "${file}" has group or world access and is ignored; permissions should be u=rw (0600)`,
    )
    return () => undefined
  }
  const text = sources.readText(file) ?? ''
  return question => findPassword(text, question)
}

/** The password of the first line that matches. `*` matches anything; `\:` and `\\` stand for themselves. */
export function findPassword(text: string, question: PasswordQuestion): string | undefined {
  const wanted = [question.host, String(question.port), question.database, question.user]
  for (const line of text.split(/\r?\n/)) {
    if (line === '' || line.startsWith('#')) continue
    const fields = splitLine(line)
    if (fields === undefined) continue
    const isMatch = wanted.every((value, index) => fields[index] === '*' || unquote(fields[index]!) === value)
    if (isMatch) return unquote(fields[4]!)
  }
  return undefined
}

/** Four fields that end at a bare colon, then the password: everything after them. */
function splitLine(line: string): string[] | undefined {
  const fields: string[] = []
  let begin = 0
  for (let at = 0; at < line.length && fields.length < 4; at++) {
    if (line[at] === '\\') at++
    else if (line[at] === ':') {
      fields.push(line.slice(begin, at))
      begin = at + 1
    }
  }
  if (fields.length < 4) return undefined
  // a colon that is not escaped ends the password as well
  const rest = line.slice(begin)
  const end = /(?<!\\)(?:\\\\)*:/.exec(rest)
  fields.push(end === null ? rest : rest.slice(0, end.index + end[0].length - 1))
  return fields
}

function unquote(field: string): string {
  return field.replace(/\\(.)/g, '$1')
}
