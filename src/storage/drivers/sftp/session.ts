import { createHash } from 'node:crypto'
import {
  type CipherAlgorithm,
  Client,
  type ConnectConfig,
  type ServerHostKeyAlgorithm,
  type SFTPWrapper,
  type Stats,
} from 'ssh2'
import { errnoOf, WalgError } from '../../../kit/errors.ts'
import type { SftpDescription, SftpHostKeys } from './description.ts'

/** What is believed of a handle: bytes that only the server understands. */
export type SftpHandle = Buffer

export interface SftpStat {
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  readonly sizeBytes: number
  /** Whole seconds: the protocol has no finer ones. */
  readonly modifiedNs: bigint
}

export interface SftpEntry extends SftpStat {
  readonly name: string
}

/** A file system's room, in bytes; of `statvfs@openssh.com`. */
export interface SftpRoom {
  readonly freeBytes: number
}

/** Answers of the protocol, version 3. */
export const SFTP_STATUS = {
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  unsupported: 8,
} as const

/** OpenSSH takes requests of up to 256 KiB, others need not take more than 32 KiB. */
const OPENSSH_REQUEST_BYTES = 128 * 1024
const REQUEST_BYTES = 32 * 1024

const CONNECT_TIMEOUT_MS = 20_000
/** A server that says nothing for three of these is gone. */
const KEEPALIVE_MS = 10_000
const KEEPALIVES_MAX = 3

/** The ciphers that the runtime computes natively: it has no chacha20-poly1305, the first choice of OpenSSH. */
const CIPHERS: CipherAlgorithm[] = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
]

type Done<T> = (error?: Error | null, value?: T) => void

/** One connection with one SFTP channel. It ends once and for all: `SftpLink` opens the next. */
export class SftpSession {
  readonly extensions: ReadonlySet<string>
  /** Bytes of one read or write. */
  readonly requestBytes: number
  readonly #client: Client
  readonly #sftp: SFTPWrapper
  readonly #waiting = new Set<(error: WalgError) => void>()
  #lost: WalgError | undefined

  constructor(client: Client, sftp: SFTPWrapper, isOpenSsh: boolean) {
    this.#client = client
    this.#sftp = sftp
    // the library keeps what the server offered to itself
    const offered = (sftp as unknown as { _extensions?: Record<string, string> })._extensions ?? {}
    this.extensions = new Set(Object.keys(offered))
    this.requestBytes = isOpenSsh ? OPENSSH_REQUEST_BYTES : REQUEST_BYTES
  }

  get isLost(): boolean {
    return this.#lost !== undefined
  }

  /** Everything that waits ends with `error`, and so does everything that is asked from now on. */
  lose(error: WalgError): void {
    if (this.#lost !== undefined) return
    this.#lost = error
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
    this.#client.destroy()
  }

  open(path: string, flags: 'r' | 'r+' | 'wx'): Promise<SftpHandle> {
    return this.#call(done => this.#sftp.open(path, flags, done))
  }

  closeHandle(handle: SftpHandle): Promise<void> {
    return this.#call(done => this.#sftp.close(handle, done))
  }

  /** Fills the beginning of `into`; tells how many bytes, 0 at the end of the file. */
  read(handle: SftpHandle, into: Buffer, position: number): Promise<number> {
    return this.#call(done => this.#sftp.read(handle, into, 0, into.length, position, done))
  }

  /** `bytes` are the library's until it is done. */
  write(handle: SftpHandle, bytes: Buffer, position: number): Promise<void> {
    return this.#call(done =>
      this.#sftp.write(handle, bytes, 0, bytes.length, position, error => done(error)),
    )
  }

  /** Follows symbolic links. */
  async stat(path: string): Promise<SftpStat> {
    return statOf(await this.#call<Stats>(done => this.#sftp.stat(path, done)))
  }

  async lstat(path: string): Promise<SftpStat> {
    return statOf(await this.#call<Stats>(done => this.#sftp.lstat(path, done)))
  }

  async fstat(handle: SftpHandle): Promise<SftpStat> {
    return statOf(await this.#call<Stats>(done => this.#sftp.fstat(handle, done)))
  }

  openFolder(path: string): Promise<SftpHandle> {
    return this.#call(done => this.#sftp.opendir(path, done))
  }

  /** The next entries of a folder, never `.` and `..`; undefined at its end. */
  async readFolder(handle: SftpHandle): Promise<SftpEntry[] | undefined> {
    try {
      const list = await this.#call<{ filename: string; attrs: Stats }[]>(done =>
        this.#sftp.readdir(handle, done),
      )
      return list.map(({ filename, attrs }) => ({ name: filename, ...statOf(attrs) }))
    } catch (error) {
      if (statusOf(error) === SFTP_STATUS.eof) return undefined
      throw error
    }
  }

  makeFolder(path: string): Promise<void> {
    return this.#call(done => this.#sftp.mkdir(path, done))
  }

  removeFolder(path: string): Promise<void> {
    return this.#call(done => this.#sftp.rmdir(path, done))
  }

  remove(path: string): Promise<void> {
    return this.#call(done => this.#sftp.unlink(path, done))
  }

  /** Fails when `target` exists; OpenSSH links, so that of two at a time one fails. */
  rename(source: string, target: string): Promise<void> {
    return this.#call(done => this.#sftp.rename(source, target, done))
  }

  /** Replaces `target`; needs `posix-rename@openssh.com`. */
  renameOver(source: string, target: string): Promise<void> {
    return this.#call(done => this.#sftp.ext_openssh_rename(source, target, done))
  }

  /** Needs `fsync@openssh.com`. */
  sync(handle: SftpHandle): Promise<void> {
    return this.#call(done => this.#sftp.ext_openssh_fsync(handle, error => done(error)))
  }

  /** Needs `copy-data`. */
  copyData(source: SftpHandle, target: SftpHandle, position: number, sizeBytes: number): Promise<void> {
    return this.#call(done => this.#sftp.ext_copy_data(source, position, sizeBytes, target, position, done))
  }

  /** Needs `statvfs@openssh.com`. */
  async room(path: string): Promise<SftpRoom> {
    const answer = await this.#call<{ f_frsize: number; f_bavail: number }>(done =>
      this.#sftp.ext_openssh_statvfs(path, done),
    )
    return { freeBytes: answer.f_frsize * answer.f_bavail }
  }

  #call<T>(start: (done: Done<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#lost !== undefined) return reject(this.#lost)
      this.#waiting.add(reject)
      start((error, value) => {
        this.#waiting.delete(reject)
        if (error === undefined || error === null) return resolve(value as T)
        // what is no answer of the server is the end of the connection
        reject(statusOf(error) === undefined ? (this.#lost ?? connectionLost(error)) : error)
      })
    })
  }
}

/** The status in an answer of the server, or undefined. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const code = (error as { code?: unknown }).code
  return typeof code === 'number' ? code : undefined
}

/** Connects and opens the channel. Errors: ACCESS_DENIED, SETTING_INVALID for good, STORAGE_UNAVAILABLE for now. */
export function connectSession(description: SftpDescription, storage: string): Promise<SftpSession> {
  const { promise, resolve, reject } = Promise.withResolvers<SftpSession>()
  const client = new Client()
  let session: SftpSession | undefined
  let refusal: WalgError | undefined
  const fail = (error: unknown): void => {
    const translated = refusal ?? connectError(error, description, storage)
    if (session === undefined) reject(translated)
    else session.lose(translated)
    client.destroy()
  }
  const verify = (key: Buffer): boolean => {
    refusal = hostKeyRefusal(key, description, storage)
    return refusal === undefined
  }
  client.on('error', fail)
  client.on('close', () => fail(new Error('the connection was closed')))
  client.on('keyboard-interactive', (_name, _text, _language, prompts, answer) =>
    answer(prompts.map(() => description.password ?? '')),
  )
  client.on('ready', () => {
    client.sftp((error, sftp) => {
      if (error !== undefined && error !== null) return fail(noChannel(error, description, storage))
      session = new SftpSession(client, sftp, isOpenSsh(client))
      sftp.on('close', () => fail(new Error('the server ended the SFTP channel')))
      resolve(session)
    })
  })
  try {
    client.connect(connectConfig(description, verify))
  } catch (error) {
    fail(keyUnreadable(error, description, storage))
  }
  return promise
}

function connectConfig(description: SftpDescription, hostVerifier: (key: Buffer) => boolean): ConnectConfig {
  const { host, port, username, password, privateKey, passphrase } = description
  return {
    host,
    port,
    username,
    ...(password === undefined ? {} : { password, tryKeyboard: true }),
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(passphrase === undefined ? {} : { passphrase }),
    hostVerifier,
    algorithms: { cipher: CIPHERS, ...hostKeyAlgorithms(description.hostKeys) },
    readyTimeout: CONNECT_TIMEOUT_MS,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: KEEPALIVES_MAX,
  }
}

const RSA: ServerHostKeyAlgorithm[] = ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa']
const ALGORITHMS_OF_KEY: Readonly<Record<string, ServerHostKeyAlgorithm[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': RSA,
}

/** A server has keys of several kinds: it is asked for one of those that are known. */
function hostKeyAlgorithms(hostKeys: SftpHostKeys | undefined): { serverHostKey?: ServerHostKeyAlgorithm[] } {
  const kinds = new Set(hostKeys?.keys.map(kindOfKey))
  const serverHostKey = Object.entries(ALGORITHMS_OF_KEY).flatMap(([kind, names]) =>
    kinds.has(kind) ? names : [],
  )
  const isComplete = (hostKeys?.fingerprints.length ?? 0) === 0
  return serverHostKey.length > 0 && isComplete ? { serverHostKey } : {}
}

/** A key begins with the length and the name of its kind. */
function kindOfKey(key: string): string {
  const bytes = Buffer.from(key, 'base64')
  return bytes.length < 4 ? '' : bytes.toString('latin1', 4, 4 + bytes.readUInt32BE(0))
}

function isOpenSsh(client: Client): boolean {
  const raw = (client as unknown as { _protocol?: { _remoteIdentRaw?: Buffer } })._protocol?._remoteIdentRaw
  return raw !== undefined && /^SSH-2\.0-OpenSSH/.test(raw.toString('latin1'))
}

/** `SHA256:…` of a host key, as `ssh-keygen -l` prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

function hostKeyRefusal(key: Buffer, description: SftpDescription, storage: string): WalgError | undefined {
  const believed = description.hostKeys
  if (believed === undefined) return undefined
  const text = key.toString('base64')
  const fingerprint = fingerprintOf(key)
  const isRevoked = believed.revoked.includes(text)
  if (!isRevoked && (believed.keys.includes(text) || believed.fingerprints.includes(fingerprint)))
    return undefined
  const what = isRevoked ? 'is marked as revoked in' : 'is not the one in'
  return new WalgError(
    'ACCESS_DENIED',
    `unable to open storage "${storage}": the host key of "${description.host}", ${fingerprint}, ${what} ${believed.source}`,
    {
      facts: { storage, host: description.host, fingerprint },
      hint: 'somebody may stand between you and the server; when its key was changed on purpose, correct the entry (`ssh-keyscan` prints the keys of a host)',
    },
  )
}

function connectError(error: unknown, description: SftpDescription, storage: string): WalgError {
  if (error instanceof WalgError) return error
  const level = (error as { level?: string }).level
  const text = error instanceof Error ? error.message : String(error)
  const where = `"${description.username}" on "${description.host}", port ${description.port}`
  const facts = { storage, host: description.host, port: description.port }
  if (level === 'client-authentication') {
    return new WalgError(
      'ACCESS_DENIED',
      `unable to open storage "${storage}": the server does not let in ${where}`,
      {
        facts,
        cause: error,
        hint: 'see SSH_USERNAME, SSH_PRIVATE_KEY_PATH and SSH_PASSWORD, and the log of sshd on the server',
      },
    )
  }
  const errno = errnoOf(error)
  return new WalgError('STORAGE_UNAVAILABLE', `unable to reach storage "${storage}": ${where}: ${text}`, {
    facts: { ...facts, ...(errno === undefined ? {} : { errno }) },
    cause: error,
    hint: 'see whether the server runs and the network leads there; SSH_PORT and the host of WALG_SSH_PREFIX say where',
  })
}

function connectionLost(cause: unknown): WalgError {
  return new WalgError('STORAGE_UNAVAILABLE', 'the connection to the server was lost', { cause })
}

function keyUnreadable(error: unknown, description: SftpDescription, storage: string): unknown {
  const text = error instanceof Error ? error.message : String(error)
  if (!/private ?key|passphrase/i.test(text) || description.privateKey === undefined) return error
  return new WalgError(
    'SETTING_INVALID',
    `the file of SSH_PRIVATE_KEY_PATH has no usable private key: ${text}`,
    {
      facts: { storage },
      cause: error,
      hint: 'an encrypted key needs SSH_PRIVATE_KEY_PASSPHRASE; formats: OpenSSH, PEM, PuTTY',
    },
  )
}

function noChannel(error: unknown, description: SftpDescription, storage: string): WalgError {
  const text = error instanceof Error ? error.message : String(error)
  return new WalgError(
    'STORAGE_UNAVAILABLE',
    `unable to open storage "${storage}": "${description.host}" offers no SFTP: ${text}`,
    {
      facts: { storage, host: description.host },
      cause: error,
      hint: 'see `Subsystem sftp` in its sshd_config',
    },
  )
}

function statOf(stats: Stats): SftpStat {
  const kind = stats.isFile()
    ? 'file'
    : stats.isDirectory()
      ? 'folder'
      : stats.isSymbolicLink()
        ? 'link'
        : 'other'
  return { kind, sizeBytes: stats.size, modifiedNs: BigInt(stats.mtime) * 1_000_000_000n }
}
