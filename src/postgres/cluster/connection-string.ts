import { WalgError } from '../../kit/errors.ts'
import type { ConnectionSettings } from './cluster.ts'
import { VARIABLE_BY_KEYWORD } from './connection-settings.ts'

/** Name, equals sign, and a value that is quoted or has no blanks. */
const PAIR = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/y

/**
 * Reads a connection string of libpq, keywords and values (`host=db1 port=5432 user=wal_g`), into settings by the names of
 * the environment. Throws SETTING_INVALID, naming `setting`, for a URI, an unknown keyword, or text that is none.
 */
export function parseConnectionString(text: string, setting: string): ConnectionSettings {
  const settings: Record<string, string> = {}
  const source = text.trim()
  for (PAIR.lastIndex = 0; PAIR.lastIndex < source.length; ) {
    const match = PAIR.exec(source)
    if (match === null) throw invalid(setting, 'it is not a list like host=db1 port=5432 user=wal_g')
    const keyword = match[1]!
    const variable = keyword === 'service' ? 'PGSERVICE' : VARIABLE_BY_KEYWORD[keyword]
    if (variable === undefined) throw invalid(setting, `it has the unknown keyword "${keyword}"`)
    settings[variable] = (match[2] ?? match[3] ?? '').replace(/\\(.)/g, '$1')
  }
  return settings
}

function invalid(setting: string, why: string): WalgError {
  return new WalgError('SETTING_INVALID', `${setting} cannot be used: ${why}`, {
    facts: { setting },
    hint: 'write it as the keywords and values of libpq, values with blanks in single quotes',
  })
}
