import { text, wholeNumber } from '../../../kit/setting-parsers.ts'
import type { SettingsTableOf } from '../../../kit/settings.ts'
import { driverOption, driverPrefix } from '../../driver-option.ts'

/** What `ssh://host/path` says. */
export interface SftpAddress {
  readonly host: string
  readonly port: number | undefined
  readonly username: string | undefined
  /** Absolute, percent-decoded, without `/` at its end except for `/` itself. */
  readonly root: string
}

/** A repository in a directory of another host, behind SFTP. */
export interface SftpSettings {
  readonly WALG_SSH_PREFIX: SftpAddress | undefined
  readonly SSH_PORT: number | undefined
  readonly SSH_USERNAME: string | undefined
  readonly SSH_PASSWORD: string | undefined
  readonly SSH_PRIVATE_KEY_PATH: string | undefined
  readonly SSH_PRIVATE_KEY_PASSPHRASE: string | undefined
  readonly SSH_KNOWN_HOSTS_PATH: string | undefined
  readonly SSH_HOST_KEY: string | undefined
}

export const sftpSettings: SettingsTableOf<SftpSettings> = {
  WALG_SSH_PREFIX: driverPrefix(
    'SSH',
    sftpAddress,
    'Host and absolute path of the repository behind SFTP, `ssh://host/path`. backup-push and wal-push create the directory.',
  ),
  SSH_PORT: driverOption('SSH_PORT', 'Port of the SSH server.', {
    parse: wholeNumber({ min: 1, max: 65_535 }),
    defaultText: 'that of the prefix, else 22',
  }),
  SSH_USERNAME: driverOption('SSH_USERNAME', 'User on the SSH server.', { parse: text }),
  SSH_PASSWORD: driverOption('SSH_PASSWORD', 'Password of that user.', { parse: text, secret: true }),
  SSH_PRIVATE_KEY_PATH: driverOption(
    'SSH_PRIVATE_KEY_PATH',
    'File with the private key of that user, in the formats of OpenSSH, PEM or PuTTY.',
    { parse: text },
  ),
  SSH_PRIVATE_KEY_PASSPHRASE: driverOption(
    'SSH_PRIVATE_KEY_PASSPHRASE',
    'Passphrase of that file. Not in the original, which reads only keys without one.',
    { parse: text, secret: true },
  ),
  SSH_KNOWN_HOSTS_PATH: driverOption(
    'SSH_KNOWN_HOSTS_PATH',
    "File in the format of OpenSSH's `known_hosts` with the key of the server: any other key is refused. Not in the original, which believes every server.",
    {
      parse: text,
      defaultText: '~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts where they name the server',
    },
  ),
  SSH_HOST_KEY: driverOption(
    'SSH_HOST_KEY',
    'The key of the server itself, instead of a file: `SHA256:…` as `ssh-keygen -l` prints it, or `ssh-ed25519 AAAA…`; several with commas. Not in the original.',
    { parse: hostKeyText },
  ),
}

function sftpAddress(given: string): SftpAddress {
  const expected = 'a URL such as ssh://host/path'
  const match = /^(?:ssh|sftp):\/\/(?:([^@/]+)@)?(\[[0-9a-f:.%]+\]|[^:/?#@\s]+)(?::(\d+))?(\/[^?#]*)/i.exec(
    given.trim(),
  )
  if (match === null) throw new Error(expected)
  const [, user, host = '', port, path = ''] = match
  const parts = decoded(path, expected)
    .split('/')
    .filter(part => part !== '')
  if (parts.some(part => part === '.' || part === '..')) throw new Error(`${expected}, without . or .. in it`)
  return {
    host: host.replace(/^\[|\]$/g, ''),
    port: port === undefined ? undefined : Number(port),
    username: user === undefined ? undefined : decoded(user, expected),
    root: `/${parts.join('/')}`,
  }
}

function decoded(part: string, expected: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new Error(`${expected}, with % written as %25`)
  }
}

function hostKeyText(given: string): string {
  const isKey = (key: string): boolean =>
    /^SHA256:[A-Za-z0-9+/]{43}=?$/.test(key) || /^[a-z0-9@.-]+ [A-Za-z0-9+/]{40,}={0,2}( .*)?$/.test(key)
  const keys = given.split(',').map(key => key.trim())
  if (!keys.every(isKey))
    throw new Error('SHA256:… as `ssh-keygen -l` prints it, or a key such as `ssh-ed25519 AAAA…`')
  return keys.join(',')
}
