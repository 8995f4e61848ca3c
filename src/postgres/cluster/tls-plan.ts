import { join } from 'node:path'
import { WalgError } from '../../kit/errors.ts'
import { atUsualPlace, type PlanSources } from './connection-settings.ts'
import { SSL_MODES, SSL_NEGOTIATIONS, TLS_VERSIONS } from './connection-words.ts'

export type SslMode = (typeof SSL_MODES)[number]
export type TlsVersion = (typeof TLS_VERSIONS)[number]

/** How connections are encrypted and what must be proved; contents of files, nothing left to look up. */
export interface TlsPlan {
  readonly mode: SslMode
  /** Root certificates; `system`: those of the operating system; undefined: nothing to verify against. */
  readonly roots: string | undefined
  readonly isVerified: boolean
  readonly isNameVerified: boolean
  readonly certificate: string | undefined
  readonly key: string | undefined
  readonly passphrase: string | undefined
  readonly revocations: string | undefined
  readonly hasServerName: boolean
  readonly isDirect: boolean
  readonly versionMin: TlsVersion
  readonly versionMax: TlsVersion | undefined
}

type Values = Readonly<Record<string, string>>

/** Where systems keep their root certificates in one file. */
const SYSTEM_ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** Decides about TLS as libpq would. Throws SETTING_INVALID, SETTING_CONFLICT, FILE_NOT_FOUND, FILE_ACCESS. */
export function planTls(values: Values, sources: PlanSources): TlsPlan {
  const rootsSetting = values['PGSSLROOTCERT']
  const isSystem = rootsSetting === 'system'
  const mode = oneOf(SSL_MODES, values['PGSSLMODE'] ?? (isSystem ? 'verify-full' : 'prefer'), 'PGSSLMODE')
  if (isSystem && mode !== 'verify-full') {
    throw new WalgError(
      'SETTING_CONFLICT',
      `PGSSLROOTCERT=system needs PGSSLMODE=verify-full, not "${mode}"`,
      {
        hint: 'anyone can have a certificate from a public authority: only the name tells servers apart',
      },
    )
  }
  refuseUnkeptPromises(values)
  const isDirect =
    oneOf(SSL_NEGOTIATIONS, values['PGSSLNEGOTIATION'] ?? 'postgres', 'PGSSLNEGOTIATION') === 'direct'
  if (isDirect && !['require', 'verify-ca', 'verify-full'].includes(mode)) {
    throw new WalgError(
      'SETTING_CONFLICT',
      `PGSSLNEGOTIATION=direct needs PGSSLMODE=require or stronger, not "${mode}"`,
    )
  }
  const roots = mode === 'disable' ? undefined : readRoots(rootsSetting, mode, sources)
  const identity = mode === 'disable' ? undefined : readIdentity(values, sources)
  return {
    mode,
    roots,
    // as in libpq, a root certificate that is there is used, whatever the mode
    isVerified: roots !== undefined,
    isNameVerified: mode === 'verify-full',
    certificate: identity?.certificate,
    key: identity?.key,
    passphrase: values['PGSSLPASSWORD'],
    revocations: mode === 'disable' ? undefined : readRevocations(values['PGSSLCRL'], sources),
    hasServerName: oneOf(['0', '1'], values['PGSSLSNI'] ?? '1', 'PGSSLSNI') === '1',
    isDirect,
    versionMin: oneOf(
      TLS_VERSIONS,
      values['PGSSLMINPROTOCOLVERSION'] ?? 'TLSv1.2',
      'PGSSLMINPROTOCOLVERSION',
    ),
    versionMax:
      values['PGSSLMAXPROTOCOLVERSION'] === undefined
        ? undefined
        : oneOf(TLS_VERSIONS, values['PGSSLMAXPROTOCOLVERSION'], 'PGSSLMAXPROTOCOLVERSION'),
  }
}

/** Settings that demand a proof which this program cannot give: an error, never a weaker connection. */
function refuseUnkeptPromises(values: Values): void {
  const refuse = (name: string, hint: string): never => {
    throw new WalgError('SETTING_INVALID', `${name}=${values[name]} is not supported`, {
      facts: { name },
      hint,
    })
  }
  if (values['PGCHANNELBINDING'] === 'require')
    refuse('PGCHANNELBINDING', 'use PGSSLMODE=verify-full instead')
  if (values['PGREQUIREAUTH'] !== undefined) refuse('PGREQUIREAUTH', 'restrict the methods in pg_hba.conf')
  if (values['PGREQUIREPEER'] !== undefined)
    refuse('PGREQUIREPEER', 'connect over TCP with PGSSLMODE=verify-full')
  if (values['PGGSSENCMODE'] === 'require') refuse('PGGSSENCMODE', 'use TLS: PGSSLMODE=verify-full')
  if (values['PGSSLCRLDIR'] !== undefined)
    refuse('PGSSLCRLDIR', 'put the lists into one file and use PGSSLCRL')
}

function readRoots(setting: string | undefined, mode: SslMode, sources: PlanSources): string | undefined {
  const isNeeded = mode === 'verify-ca' || mode === 'verify-full'
  if (setting === 'system') {
    for (const path of SYSTEM_ROOTS) {
      const text = sources.readText(path)
      if (text !== undefined) return text
    }
    throw new WalgError(
      'FILE_NOT_FOUND',
      'the root certificates of the system are not where they usually are',
      {
        hint: 'install the package ca-certificates, or name a file with PGSSLROOTCERT',
      },
    )
  }
  const path = setting ?? join(sources.homeDirectory, '.postgresql/root.crt')
  const text = readAt(setting, path, sources)
  if (text === undefined && isNeeded) {
    throw new WalgError('FILE_NOT_FOUND', `root certificate file "${path}" does not exist`, {
      facts: { path },
      hint: `PGSSLMODE=${mode} needs it: provide the file, name another with PGSSLROOTCERT, or change PGSSLMODE`,
    })
  }
  return text
}

/** The text of the file that the setting names, or of the one at the usual place. */
function readAt(setting: string | undefined, path: string, sources: PlanSources): string | undefined {
  return setting === undefined ? atUsualPlace(() => sources.readText(path)) : sources.readText(path)
}

function readIdentity(
  values: Values,
  sources: PlanSources,
): { certificate: string; key: string } | undefined {
  const certificatePath = values['PGSSLCERT'] ?? join(sources.homeDirectory, '.postgresql/postgresql.crt')
  const certificate = readAt(values['PGSSLCERT'], certificatePath, sources)
  if (certificate === undefined) {
    if (values['PGSSLCERT'] === undefined) return undefined
    throw new WalgError('FILE_NOT_FOUND', `certificate file "${certificatePath}" does not exist`, {
      facts: { path: certificatePath },
    })
  }
  const keyPath = values['PGSSLKEY'] ?? join(sources.homeDirectory, '.postgresql/postgresql.key')
  const stats = sources.stat(keyPath)
  const key = sources.readText(keyPath)
  if (stats === undefined || key === undefined) {
    throw new WalgError('FILE_NOT_FOUND', `certificate present, but not private key file "${keyPath}"`, {
      facts: { path: keyPath },
    })
  }
  // a key of root may be readable by a group, one of ours by nobody else
  const forbidden = stats.uid === 0 && sources.userId !== 0 ? 0o037 : 0o077
  if ((stats.mode & forbidden) !== 0) {
    throw new WalgError('FILE_ACCESS', `private key file "${keyPath}" has group or world access`, {
      facts: { path: keyPath },
      hint: 'permissions must be 0600 or less, or 0640 or less for a file of root',
    })
  }
  if (/-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(key) && !values['PGSSLPASSWORD']) {
    throw new WalgError(
      'SETTING_MISSING',
      `private key file "${keyPath}" is encrypted, and nothing opens it`,
      {
        facts: { path: keyPath },
        hint: 'set PGSSLPASSWORD to its passphrase',
      },
    )
  }
  return { certificate, key }
}

function readRevocations(setting: string | undefined, sources: PlanSources): string | undefined {
  if (setting === undefined)
    return readAt(setting, join(sources.homeDirectory, '.postgresql/root.crl'), sources)
  const text = sources.readText(setting)
  if (text === undefined) {
    throw new WalgError('FILE_NOT_FOUND', `certificate revocation list "${setting}" does not exist`, {
      facts: { path: setting },
    })
  }
  return text
}

/** `value` when it is one of `allowed`. Throws SETTING_INVALID. */
export function oneOf<T extends string>(allowed: readonly T[], value: string, name: string): T {
  if (allowed.includes(value as T)) return value as T
  throw new WalgError('SETTING_INVALID', `invalid ${name} "${value}": one of ${allowed.join(', ')}`, {
    facts: { name },
  })
}
