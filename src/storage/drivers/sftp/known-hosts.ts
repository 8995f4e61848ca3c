import { createHmac } from 'node:crypto'
import type { SftpHostKeys } from './description.ts'

/**
 * The keys that a `known_hosts` has for a server (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): plain, hashed and wildcard
 * names, `@revoked`; certificates are not read.
 */
export function keysOfHost(file: string, host: string, port: number): Pick<SftpHostKeys, 'keys' | 'revoked'> {
  const name = port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`
  const keys: string[] = []
  const revoked: string[] = []
  for (const line of file.split('\n')) {
    const fields = line.trim().split(/\s+/)
    const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined
    const [patterns, , key] = fields
    if (patterns === undefined || key === undefined || patterns.startsWith('#')) continue
    if (!isNamed(patterns, name)) continue
    if (marker === undefined) keys.push(key)
    else if (marker === '@revoked') revoked.push(key)
  }
  return { keys, revoked }
}

function isNamed(patterns: string, name: string): boolean {
  if (patterns.startsWith('|1|')) return isHashOf(patterns, name)
  const each = patterns.toLowerCase().split(',')
  if (each.some(pattern => pattern.startsWith('!') && matches(pattern.slice(1), name))) return false
  return each.some(pattern => matches(pattern, name))
}

function isHashOf(hashed: string, name: string): boolean {
  const [, , salt = '', hash = ''] = hashed.split('|')
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash
}

function matches(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`).test(name)
}
