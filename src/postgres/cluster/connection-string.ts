import { WalgError } from '../../kit/errors.ts'
import type { ConnectionSettings } from './cluster.ts'
import { VARIABLE_BY_KEYWORD } from './connection-settings.ts'

/** Name, equals sign, and a value that is quoted or has no blanks. */
const PAIR = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/y

/** Scheme, authority, path without its slash, and query of a connection URI; the parts are percent-encoded. */
const URI = /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s

/** A host of the authority: a name, an address, an IPv6 address in brackets or an encoded socket directory; then its port. */
const URI_HOST = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/

/**
 * Reads a connection string of libpq, keywords and values (`host=db1 port=5432 user=wal_g`) or a URI
 * (`postgresql://wal_g@db1:5432/postgres?sslmode=require`), into settings by the names of the environment. Throws
 * SETTING_INVALID, naming `setting`, for an unknown keyword, or text that is neither. Source: PostgreSQL's
 * documentation, "Connection Strings".
 */
export function parseConnectionString(text: string, setting: string): ConnectionSettings {
  const source = text.trim()
  const pairs = /^postgres(?:ql)?:\/\//.test(source)
    ? uriPairs(source, setting)
    : keywordPairs(source, setting)
  const settings: Record<string, string> = {}
  for (const [keyword, value] of pairs) {
    const variable = keyword === 'service' ? 'PGSERVICE' : VARIABLE_BY_KEYWORD[keyword]
    if (variable === undefined) throw invalid(setting, `it has the unknown keyword "${keyword}"`)
    settings[variable] = value
  }
  return settings
}

function* keywordPairs(source: string, setting: string): Iterable<[string, string]> {
  for (PAIR.lastIndex = 0; PAIR.lastIndex < source.length; ) {
    const match = PAIR.exec(source)
    if (match === null) throw invalid(setting, 'it is not a list like host=db1 port=5432 user=wal_g')
    yield [match[1]!, (match[2] ?? match[3] ?? '').replace(/\\(.)/g, '$1')]
  }
}

function* uriPairs(source: string, setting: string): Iterable<[string, string]> {
  const decoded = (text: string): string => {
    try {
      return decodeURIComponent(text)
    } catch {
      throw invalid(
        setting,
        'it has a percent sign that no two hexadecimal digits follow (write %25 for one)',
      )
    }
  }
  const match = URI.exec(source)
  if (match === null) throw invalid(setting, 'it is not a URI like postgresql://wal_g@db1:5432/postgres')
  const [, authority = '', database = '', query = ''] = match
  const at = authority.lastIndexOf('@')
  const [user = '', ...password] = authority.slice(0, Math.max(at, 0)).split(':')
  if (user !== '') yield ['user', decoded(user)]
  if (password.length > 0) yield ['password', decoded(password.join(':'))]
  const hosts = authority
    .slice(at + 1)
    .split(',')
    .map(each => URI_HOST.exec(each))
  if (hosts.some(each => each === null))
    throw invalid(setting, 'a host of the URI is not like db1:5432 or [::1]:5432')
  const names = hosts.map(each => decoded(each?.[1] ?? each?.[2] ?? ''))
  const ports = hosts.map(each => each?.[3] ?? '')
  if (names.some(each => each !== '')) yield ['host', names.join(',')]
  if (ports.some(each => each !== '')) yield ['port', ports.join(',')]
  if (database !== '') yield ['dbname', decoded(database)]
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const [keyword = '', ...value] = pair.split('=')
    if (value.length !== 1) throw invalid(setting, 'a parameter of the URI is not like sslmode=require')
    yield [decoded(keyword), decoded(value[0]!)]
  }
}

function invalid(setting: string, why: string): WalgError {
  return new WalgError('SETTING_INVALID', `${setting} cannot be used: ${why}`, {
    facts: { setting },
    hint: 'write it as the keywords and values of libpq, values with blanks in single quotes, or as a URI',
  })
}
