import { join } from 'node:path'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { ConnectionSettings } from './cluster.ts'

/** What planning may look at beside the settings; the real one is `systemSources`. */
export interface PlanSources {
  /** Name of the effective user; undefined when the system knows none. Asked for only where no role is named. */
  readonly userName: string | undefined
  readonly homeDirectory: string
  /** Content of a file, undefined when there is none. Throws FILE_ACCESS. */
  readText(path: string): string | undefined
  /** Undefined when there is no such file. */
  stat(path: string): { readonly isFile: boolean; readonly mode: number; readonly uid: number } | undefined
  /** The effective user. */
  readonly userId: number | undefined
}

/**
 * What `look` finds at a place that nobody named: undefined also when this user may not look there, as with the HOME of
 * another user, which `sudo` and service managers may leave behind.
 */
export function atUsualPlace<T>(look: () => T | undefined): T | undefined {
  try {
    return look()
  } catch (error) {
    if (hasCode(error, 'FILE_ACCESS')) return undefined
    throw error
  }
}

/** libpq's keywords, as service files spell them, and the variable that means the same. */
export const VARIABLE_BY_KEYWORD: Readonly<Record<string, string>> = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  dbname: 'PGDATABASE',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  passfile: 'PGPASSFILE',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  sslmode: 'PGSSLMODE',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslpassword: 'PGSSLPASSWORD',
  sslrootcert: 'PGSSLROOTCERT',
  sslcrl: 'PGSSLCRL',
  sslcrldir: 'PGSSLCRLDIR',
  sslsni: 'PGSSLSNI',
  sslnegotiation: 'PGSSLNEGOTIATION',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  options: 'PGOPTIONS',
  application_name: 'PGAPPNAME',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  load_balance_hosts: 'PGLOADBALANCEHOSTS',
  channel_binding: 'PGCHANNELBINDING',
  require_auth: 'PGREQUIREAUTH',
  requirepeer: 'PGREQUIREPEER',
  gssencmode: 'PGGSSENCMODE',
  krbsrvname: 'PGKRBSRVNAME',
}
/** Keywords that change nothing here. */
const HARMLESS = new Set([
  'client_encoding',
  'fallback_application_name',
  'gssdelegation',
  'gsslib',
  'keepalives',
  'keepalives_count',
  'keepalives_idle',
  'keepalives_interval',
  'krbsrvname',
  'sslcompression',
  'sslcertmode',
  'tcp_user_timeout',
])
const SYSTEM_SERVICE_DIRECTORIES = ['/etc/postgresql-common', '/etc/sysconfig/pgsql', '/etc']

/**
 * The settings with what the service file says, which goes before the environment as in libpq. Empty values count
 * as absent. Throws SETTING_INVALID when the service is not defined or names an unknown keyword.
 */
export function resolveService(settings: ConnectionSettings, sources: PlanSources): Record<string, string> {
  const values: Record<string, string> = {}
  for (const [name, value] of Object.entries(settings)) {
    if (value !== undefined && value !== '') values[name] = value
  }
  const service = values['PGSERVICE']
  if (service === undefined) return values
  return { ...values, ...readService(service, values, sources) }
}

function readService(
  service: string,
  values: Readonly<Record<string, string>>,
  sources: PlanSources,
): Record<string, string> {
  const own = values['PGSERVICEFILE'] ?? join(sources.homeDirectory, '.pg_service.conf')
  const systemDirectories = values['PGSYSCONFDIR'] ? [values['PGSYSCONFDIR']] : SYSTEM_SERVICE_DIRECTORIES
  for (const path of [own, ...systemDirectories.map(directory => join(directory, 'pg_service.conf'))]) {
    const isNamed = path === values['PGSERVICEFILE']
    const text = isNamed ? sources.readText(path) : atUsualPlace(() => sources.readText(path))
    if (text === undefined) {
      if (!isNamed) continue
      throw new WalgError('SETTING_INVALID', `service file "${path}" not found`, { facts: { path } })
    }
    const found = parseService(text, service, path)
    if (found !== undefined) return found
  }
  throw new WalgError('SETTING_INVALID', `definition of service "${service}" not found`, {
    facts: { service },
    hint: `PGSERVICE names a section of ${own} or of the system's pg_service.conf`,
  })
}

/** The section of `service` in the text of a service file; undefined when there is none. */
export function parseService(
  text: string,
  service: string,
  path: string,
): Record<string, string> | undefined {
  let found: Record<string, string> | undefined
  let isInside = false
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    if (line.startsWith('[')) {
      if (isInside) return found
      isInside = line === `[${service}]`
      if (isInside) found = {}
      continue
    }
    if (!isInside || found === undefined) continue
    const equals = line.indexOf('=')
    const keyword = line.slice(0, Math.max(equals, 0)).trim()
    const variable = VARIABLE_BY_KEYWORD[keyword]
    if (variable !== undefined) found[variable] ??= line.slice(equals + 1).trim()
    else if (!HARMLESS.has(keyword)) {
      throw new WalgError(
        'SETTING_INVALID',
        `line ${index + 1} of service file "${path}" is not understood`,
        {
          facts: { path, line: index + 1 },
        },
      )
    }
  }
  return found
}
