import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { errnoOf } from '../../../kit/errors.ts'
import { readTable, type SettingProblem, type SettingTexts } from '../../../kit/settings.ts'
import { type DriverReading, readNamedFile } from '../../driver-reading.ts'
import type { SftpDescription, SftpHostKeys } from './description.ts'
import { keysOfHost } from './known-hosts.ts'
import { type SftpSettings, sftpSettings } from './settings.ts'

const SYSTEM_KNOWN_HOSTS = '/etc/ssh/ssh_known_hosts'

/** Reads WALG_SSH_PREFIX and its options, with the private key and what is known of the server's. */
export async function readSftp(texts: SettingTexts): Promise<DriverReading<SftpDescription>> {
  const { values, problems: unread } = readTable(sftpSettings, texts)
  const address = values.WALG_SSH_PREFIX
  if (address === undefined) return { problems: unread, warnings: [] }
  const problems = [...unread]
  const warnings: string[] = []
  const username = values.SSH_USERNAME ?? address.username
  if (username === undefined) problems.push(noUsername)
  const place = { host: address.host, port: values.SSH_PORT ?? address.port ?? 22 }
  const privateKey = await readKey(values, problems)
  const hostKeys = await readHostKeys(values, place, problems)
  if (hostKeys === undefined) warnings.push(unchecked(place))
  if (problems.length > 0 || username === undefined) return { problems, warnings }
  const description: SftpDescription = {
    kind: 'sftp',
    ...place,
    username,
    root: address.root,
    ...(values.SSH_PASSWORD === undefined ? {} : { password: values.SSH_PASSWORD }),
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(values.SSH_PRIVATE_KEY_PASSPHRASE === undefined
      ? {}
      : { passphrase: values.SSH_PRIVATE_KEY_PASSPHRASE }),
    ...(hostKeys === undefined ? {} : { hostKeys }),
  }
  return { description, problems, warnings }
}

interface HostAndPort {
  readonly host: string
  readonly port: number
}

const noUsername: SettingProblem = {
  code: 'SETTING_MISSING',
  names: ['SSH_USERNAME'],
  message: 'WALG_SSH_PREFIX needs SSH_USERNAME',
  hint: 'set SSH_USERNAME to the user on the SSH server',
}

async function readKey(values: SftpSettings, problems: SettingProblem[]): Promise<string | undefined> {
  const path = values.SSH_PRIVATE_KEY_PATH
  return path === undefined ? undefined : readNamedFile(path, 'SSH_PRIVATE_KEY_PATH', problems)
}

/** What is believed of the server's key; undefined when nobody said anything about it. */
async function readHostKeys(
  values: SftpSettings,
  { host, port }: HostAndPort,
  problems: SettingProblem[],
): Promise<SftpHostKeys | undefined> {
  if (values.SSH_HOST_KEY !== undefined) return pinned(values.SSH_HOST_KEY)
  const path = values.SSH_KNOWN_HOSTS_PATH
  if (path !== undefined) {
    const file = await readNamedFile(path, 'SSH_KNOWN_HOSTS_PATH', problems)
    const known = keysOfHost(file ?? '', host, port)
    if (file !== undefined && known.keys.length === 0) problems.push(unknownHost(path, { host, port }))
    return { ...known, fingerprints: [], source: `"${path}"` }
  }
  for (const usual of [`${homedir()}/.ssh/known_hosts`, SYSTEM_KNOWN_HOSTS]) {
    const known = keysOfHost(await readUsual(usual), host, port)
    if (known.keys.length > 0) return { ...known, fingerprints: [], source: `"${usual}"` }
  }
  return undefined
}

function pinned(text: string): SftpHostKeys {
  const each = text.split(',')
  const fingerprints = each.filter(key => key.startsWith('SHA256:')).map(key => key.replace(/=+$/, ''))
  const keys = each.filter(key => !key.startsWith('SHA256:')).map(key => key.split(' ')[1] ?? '')
  return { keys, fingerprints, revoked: [], source: 'SSH_HOST_KEY' }
}

/** A usual place may be empty, or closed to this user. */
async function readUsual(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) !== undefined) return ''
    throw error
  }
}

function unknownHost(path: string, { host, port }: HostAndPort): SettingProblem {
  return {
    code: 'SETTING_INVALID',
    names: ['SSH_KNOWN_HOSTS_PATH'],
    message: `the file "${path}" of SSH_KNOWN_HOSTS_PATH has no key of "${host}", port ${port}`,
    hint: `compare what \`ssh-keyscan -p ${port} ${host}\` prints with the key on the server, then add it`,
  }
}

function unchecked({ host, port }: HostAndPort): string {
  return `the host key of "${host}", port ${port}, is not checked: set SSH_KNOWN_HOSTS_PATH or SSH_HOST_KEY, else somebody between you and it can read and change backups`
}
