import { isIP } from 'node:net'
import { WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import type { ConnectionSettings } from './cluster.ts'
import { type PlanSources, resolveService } from './connection-settings.ts'
import { isWholeSeconds, LOAD_BALANCES, portOf, SESSION_ATTRIBUTES } from './connection-words.ts'
import { readPasswordFile } from './password-file.ts'
import { oneOf, planTls, type TlsPlan } from './tls-plan.ts'

export type SessionAttributes = (typeof SESSION_ATTRIBUTES)[number]

/** One place to try. */
export interface ConnectionTarget {
  /** Host name, address, or directory of a socket; for messages and for the name in a certificate. */
  readonly host: string
  /** Connect here instead of looking `host` up. */
  readonly hostAddress: string | undefined
  readonly port: number
  readonly isSocket: boolean
  readonly password: string | undefined
}

export interface ConnectionPlan {
  /** In the order in which to try them. */
  readonly targets: readonly ConnectionTarget[]
  readonly isShuffled: boolean
  readonly user: string
  readonly database: string
  /** The database is the user's name by default; then `postgres` may stand in when there is none of that name. */
  readonly isDatabaseDefault: boolean
  readonly options: string | undefined
  readonly applicationName: string
  readonly connectTimeoutMs: number
  readonly attributes: SessionAttributes
  readonly tls: TlsPlan
}

const PORT_DEFAULT = 5432
const CONNECT_TIMEOUT_MS_DEFAULT = 30_000
const CONNECT_TIMEOUT_MS_MIN = 2000
/** Debian's and Red Hat's place, then PostgreSQL's own default. */
const SOCKET_DIRECTORIES = ['/var/run/postgresql', '/tmp']

/**
 * Decides where and how to connect, as libpq would with these settings. Looks at files only through `sources`.
 * Throws SETTING_INVALID, SETTING_CONFLICT, FILE_NOT_FOUND, FILE_ACCESS.
 */
export function planConnections(
  settings: ConnectionSettings,
  sources: PlanSources,
  log: Logger,
): ConnectionPlan {
  const values = resolveService(settings, sources)
  const user = values['PGUSER'] ?? sources.userName
  if (user === undefined) {
    throw new WalgError('SETTING_MISSING', `local user with ID ${sources.userId} does not exist`, {
      hint: 'set PGUSER to the role to connect as: without it that is the name of the user that runs wal-g',
    })
  }
  const database = values['PGDATABASE'] ?? user
  const passwordFor = readPasswordFile(values['PGPASSFILE'], sources, log)
  const targets = listPlaces(values).map(place => ({
    ...place,
    password:
      values['PGPASSWORD'] ?? passwordFor({ host: passwordHost(place), port: place.port, database, user }),
  }))
  const balance = oneOf(LOAD_BALANCES, values['PGLOADBALANCEHOSTS'] ?? 'disable', 'PGLOADBALANCEHOSTS')
  return {
    targets,
    isShuffled: balance === 'random',
    user,
    database,
    isDatabaseDefault: values['PGDATABASE'] === undefined,
    options: values['PGOPTIONS'],
    applicationName: values['PGAPPNAME'] ?? 'wal-g',
    connectTimeoutMs: parseTimeout(values['PGCONNECT_TIMEOUT']),
    attributes: oneOf(SESSION_ATTRIBUTES, values['PGTARGETSESSIONATTRS'] ?? 'any', 'PGTARGETSESSIONATTRS'),
    tls: planTls(values, sources),
  }
}

type Place = Omit<ConnectionTarget, 'password'>

function listPlaces(values: Readonly<Record<string, string>>): Place[] {
  const hosts = splitList(values['PGHOST'])
  const addresses = splitList(values['PGHOSTADDR'])
  const count = Math.max(hosts.length, addresses.length, 1)
  if (hosts.length > 0 && addresses.length > 0 && hosts.length !== addresses.length) {
    throw new WalgError(
      'SETTING_CONFLICT',
      `PGHOST has ${hosts.length} entries, PGHOSTADDR has ${addresses.length}: they must be as many`,
    )
  }
  const ports = splitList(values['PGPORT'])
  if (ports.length > 1 && ports.length !== count) {
    throw new WalgError('SETTING_CONFLICT', `PGPORT has ${ports.length} entries for ${count} hosts`, {
      hint: 'give one port for all hosts, or one for each',
    })
  }
  const places: Place[] = []
  for (let index = 0; index < count; index++) {
    const port = parsePort((ports.length > 1 ? ports[index] : ports[0]) ?? '')
    places.push(...placesOf(hosts[index] ?? '', addresses[index] ?? '', port))
  }
  return places
}

function placesOf(host: string, address: string, port: number): Place[] {
  if (address !== '') {
    if (isIP(address) === 0) {
      throw new WalgError('SETTING_INVALID', `PGHOSTADDR "${address}" is not a numeric address`)
    }
    return [{ host: host === '' ? address : host, hostAddress: address, port, isSocket: false }]
  }
  if (host.startsWith('@')) {
    throw new WalgError('SETTING_INVALID', `PGHOST "${host}": abstract sockets are not supported`)
  }
  if (host.startsWith('/')) return [{ host, hostAddress: undefined, port, isSocket: true }]
  if (host !== '') return [{ host, hostAddress: undefined, port, isSocket: false }]
  return SOCKET_DIRECTORIES.map(directory => ({
    host: directory,
    hostAddress: undefined,
    port,
    isSocket: true,
  }))
}

/** Password files speak of the default sockets as `localhost`. */
function passwordHost(place: Place): string {
  return place.isSocket && SOCKET_DIRECTORIES.includes(place.host) ? 'localhost' : place.host
}

function splitList(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(',').map(part => part.trim())
}

function parsePort(text: string): number {
  if (text === '') return PORT_DEFAULT
  const port = portOf(text)
  if (port === undefined) {
    throw new WalgError('SETTING_INVALID', `invalid port number "${text}" in PGPORT`, {
      facts: { name: 'PGPORT' },
    })
  }
  return port
}

/** libpq waits for ever by default; we never do. */
function parseTimeout(text: string | undefined): number {
  if (text === undefined) return CONNECT_TIMEOUT_MS_DEFAULT
  if (!isWholeSeconds(text)) {
    throw new WalgError('SETTING_INVALID', `invalid PGCONNECT_TIMEOUT "${text}": a whole number of seconds`)
  }
  const seconds = Number(text)
  return seconds <= 0 ? CONNECT_TIMEOUT_MS_DEFAULT : Math.max(CONNECT_TIMEOUT_MS_MIN, seconds * 1000)
}
