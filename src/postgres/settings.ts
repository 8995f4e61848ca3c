import { oneOf, text, wholeNumber } from '../kit/setting-parsers.ts'
import type { SettingParser, SettingsTableOf } from '../kit/settings.ts'
import {
  isWholeSeconds,
  LOAD_BALANCES,
  portOf,
  SESSION_ATTRIBUTES,
  SSL_MODES,
  SSL_NEGOTIATIONS,
  TLS_VERSIONS,
} from './cluster/connection-words.ts'

/**
 * How to reach the cluster and what its pages and segments look like. The connection settings keep libpq's
 * text form: `cluster/connect.ts` gives them libpq's meaning.
 */
export interface PostgresSettings {
  readonly PGHOST: string | undefined
  readonly PGHOSTADDR: string | undefined
  readonly PGPORT: string | undefined
  readonly PGUSER: string | undefined
  readonly PGPASSWORD: string | undefined
  readonly PGPASSFILE: string | undefined
  readonly PGDATABASE: string | undefined
  readonly PGSSLMODE: string | undefined
  readonly PGSSLCERT: string | undefined
  readonly PGSSLKEY: string | undefined
  readonly PGSSLPASSWORD: string | undefined
  readonly PGSSLROOTCERT: string | undefined
  readonly PGSSLCRL: string | undefined
  readonly PGSSLCRLDIR: string | undefined
  readonly PGSSLSNI: string | undefined
  readonly PGSSLNEGOTIATION: string | undefined
  readonly PGSSLMINPROTOCOLVERSION: string | undefined
  readonly PGSSLMAXPROTOCOLVERSION: string | undefined
  readonly PGAPPNAME: string
  readonly PGSERVICE: string | undefined
  readonly PGSERVICEFILE: string | undefined
  readonly PGSYSCONFDIR: string | undefined
  readonly PGOPTIONS: string | undefined
  readonly PGTARGETSESSIONATTRS: string | undefined
  readonly PGLOADBALANCEHOSTS: string | undefined
  readonly PGCONNECT_TIMEOUT: string | undefined
  readonly PGCHANNELBINDING: string | undefined
  readonly PGREQUIREAUTH: string | undefined
  readonly PGREQUIREPEER: string | undefined
  readonly PGGSSENCMODE: string | undefined
  readonly PGKRBSRVNAME: string | undefined
  readonly PGDATA: string | undefined
  readonly WALG_PG_BIN_DIR: string | undefined
  readonly WALG_PG_WAL_SIZE: number
  readonly WALG_PG_WAL_PAGE_SIZE: number
  readonly WALG_PG_BLOCK_SIZE: number
}

/** Kept as text: how many ports there must be depends on the hosts. */
function portList(value: string): string {
  const ports = value.split(',').map(port => port.trim())
  if (ports.some(port => port !== '' && portOf(port) === undefined)) {
    throw new Error('a port from 1 to 65535, or a comma list of them')
  }
  return value
}

const wholeSeconds: SettingParser<string> = value => {
  if (!isWholeSeconds(value)) throw new Error('a whole number of seconds')
  return value
}

const SEGMENT_SIZES_MIB = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

export const postgresSettings: SettingsTableOf<PostgresSettings> = {
  PGHOST: { parse: text, doc: 'Host, directory of the Unix socket, or a comma list of them.' },
  PGHOSTADDR: { parse: text, doc: 'Numeric address, or a list that matches PGHOST.' },
  PGPORT: { parse: portList, doc: 'Port, or a comma list that matches PGHOST.' },
  PGUSER: {
    parse: text,
    doc: 'Role to connect as; without it the name of the user of the operating system that runs wal-g.',
  },
  PGPASSWORD: { parse: text, secret: true, doc: 'Password. A password file is better.' },
  PGPASSFILE: { parse: text, defaultText: '~/.pgpass', doc: 'Password file.' },
  PGDATABASE: { parse: text, doc: 'Database to connect to.' },
  PGSSLMODE: {
    parse: oneOf(...SSL_MODES),
    defaultText: 'prefer',
    doc: '`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`.',
  },
  PGSSLCERT: { parse: text, doc: 'Client certificate.' },
  PGSSLKEY: { parse: text, doc: 'Key of the client certificate.' },
  PGSSLPASSWORD: { parse: text, secret: true, doc: 'Passphrase of the key of the client certificate.' },
  PGSSLROOTCERT: { parse: text, doc: 'Certificate authorities to trust, or `system`.' },
  PGSSLCRL: { parse: text, doc: 'Certificate revocation list.' },
  PGSSLCRLDIR: { parse: text, doc: 'Directory of revocation lists: refused, use PGSSLCRL.' },
  PGSSLSNI: { parse: oneOf('0', '1'), doc: '`0` sends no server name in TLS.' },
  PGSSLNEGOTIATION: { parse: oneOf(...SSL_NEGOTIATIONS), doc: '`postgres` or `direct`.' },
  PGSSLMINPROTOCOLVERSION: { parse: oneOf(...TLS_VERSIONS), doc: 'Oldest TLS version to accept.' },
  PGSSLMAXPROTOCOLVERSION: { parse: oneOf(...TLS_VERSIONS), doc: 'Newest TLS version to accept.' },
  PGAPPNAME: { parse: text, default: 'wal-g', doc: 'application_name of the connection.' },
  PGSERVICE: { parse: text, doc: 'Service of the service file.' },
  PGSERVICEFILE: { parse: text, defaultText: '~/.pg_service.conf', doc: 'Service file.' },
  PGSYSCONFDIR: { parse: text, doc: 'Directory of the system-wide service file.' },
  PGOPTIONS: { parse: text, doc: 'Command-line options for the server process.' },
  PGTARGETSESSIONATTRS: {
    parse: oneOf(...SESSION_ATTRIBUTES),
    doc: 'Which server of a list to take: `any`, `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`.',
  },
  PGLOADBALANCEHOSTS: {
    parse: oneOf(...LOAD_BALANCES),
    doc: '`random` tries the hosts of a list in random order.',
  },
  PGCONNECT_TIMEOUT: { parse: wholeSeconds, doc: 'Seconds to wait for each host.' },
  PGCHANNELBINDING: { parse: text, doc: '`disable`, `prefer` or `require`.' },
  PGREQUIREAUTH: { parse: text, doc: 'Authentication methods to accept.' },
  PGREQUIREPEER: { parse: text, doc: 'Owner that a Unix socket server must have.' },
  PGGSSENCMODE: { parse: text, doc: 'Encryption by GSSAPI: only `disable` and `prefer` can be met.' },
  PGKRBSRVNAME: { parse: text, doc: 'Kerberos service name.' },
  PGDATA: {
    parse: text,
    doc: 'Data directory of the cluster: where WAL bookkeeping is kept and where recovery signals are looked for.',
  },
  WALG_PG_BIN_DIR: {
    parse: text,
    defaultText: 'looked for in PATH and where packages put it',
    doc: 'Ours. Directory of the program `postgres` that `restore --start` and `drill` start; of the major of the backup.',
  },
  WALG_PG_WAL_SIZE: {
    parse: walSegmentMib,
    default: 16,
    doc: 'Size of a WAL segment in MiB, as given to `initdb --wal-segsize`.',
  },
  WALG_PG_WAL_PAGE_SIZE: {
    parse: powerOfTwo(1024, 65_536),
    default: 8192,
    doc: 'Size of a WAL page in bytes (`wal_block_size`).',
  },
  WALG_PG_BLOCK_SIZE: {
    parse: powerOfTwo(1024, 32_768),
    default: 8192,
    doc: 'Size of a data page in bytes (`block_size`).',
  },
}

function walSegmentMib(value: string): number {
  const mib = wholeNumber()(value)
  if (!SEGMENT_SIZES_MIB.includes(mib)) throw new Error('a power of two from 1 to 1024')
  return mib
}

function powerOfTwo(min: number, max: number): (value: string) => number {
  return value => {
    const number = wholeNumber()(value)
    if (number < min || number > max || (number & (number - 1)) !== 0) {
      throw new Error(`a power of two from ${min} to ${max}`)
    }
    return number
  }
}
