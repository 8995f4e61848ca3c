/** What libpq's settings may say, where it is one of a few words or a number. */
export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export const TLS_VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const
export const SSL_NEGOTIATIONS = ['postgres', 'direct'] as const
export const SESSION_ATTRIBUTES = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const
export const LOAD_BALANCES = ['disable', 'random'] as const

/** A port of a list; undefined when it is none. */
export function portOf(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port < 1 || port > 65_535 ? undefined : port
}

export function isWholeSeconds(text: string): boolean {
  return /^-?\d{1,7}$/.test(text.trim())
}
