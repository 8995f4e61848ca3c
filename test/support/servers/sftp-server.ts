import { spawn, spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { SftpDescription } from '../../../src/storage/drivers/sftp/description.ts'
import { giveToClusterUser, type UserIds } from '../cluster-user.ts'
import { cleanUpAtEnd } from '../leftovers.ts'
import { runTool } from '../process.ts'
import type { SkipReason } from '../skip.ts'
import { type TempDirectory, tempDirectory } from '../temp-directory.ts'
import { untilTrue } from '../until-true.ts'

const SSHD = '/usr/sbin/sshd'

/** OpenSSH's server, on loopback, with keys of its own. */
export interface SftpServer {
  readonly port: number
  /** The user to log in as: the one that runs the server. */
  readonly username: string
  /** Of the formats that people have: OpenSSH ed25519, OpenSSH RSA, PEM RSA, and one with the passphrase `secret`. */
  readonly keys: Readonly<Record<'ed25519' | 'rsa' | 'pem' | 'encrypted', string>>
  /** A `known_hosts` that names this server. */
  readonly knownHosts: string
  /** `SHA256:…` of the server's key. */
  readonly fingerprint: string
  /** A new, empty folder for a storage. */
  newRoot(): string
  /** The description of a storage below `root`. */
  describe(root: string): SftpDescription
  /** The settings of wal-g for a storage below `root`. */
  settings(root: string): Record<string, string>
  /** Ends every connection and the server; `start` brings it back on the same port. */
  stop(): Promise<void>
  start(): Promise<void>
}

/** The reason to skip where OpenSSH's server is not installed. */
export function missingSshd(): SkipReason {
  return existsSync(SSHD) ? undefined : 'not installed: openssh-server'
}

const isRoot = process.getuid?.() === 0

/** The reason to skip where there is nobody else to log in as. */
export function missingOtherUser(): SkipReason {
  const hasPostgres = /^postgres:/m.test(readFileSync('/etc/passwd', 'utf8'))
  return isRoot && hasPostgres ? undefined : 'needs root, and a user postgres'
}

/** The reason to skip where a server cannot have a file system of its own. */
export function missingPrivateMounts(): SkipReason {
  const probe = isRoot && spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
  return probe ? undefined : 'needs root, and mount namespaces'
}

export interface SftpServerOptions {
  /** Another one than ourselves, who then also runs the server; needs root. */
  readonly username?: string
  /** The folders for storages lie on a file system of this size, seen by the server alone; needs root. */
  readonly diskBytes?: number
}

/** Starts a server that runs as us: root, or a normal user who can only log in as himself. */
export async function startSftpServer(options: SftpServerOptions = {}): Promise<SftpServer> {
  const directory = tempDirectory('sshd')
  const username = options.username ?? (await runTool('id', ['-un'])).stdout.trim()
  const port = await freePort()
  const keys = await makeKeys(directory, port)
  writeFileSync(directory.at('sshd_config'), configuration(directory, port, username))
  // sshd of root wants its folder for privilege separation
  if (isRoot) mkdirSync('/run/sshd', { recursive: true })
  mkdirSync(directory.at('files'))
  const user = options.username === undefined ? undefined : await takeOver(directory, options.username)
  const start = (): ReturnType<typeof run> => run(directory, port, { ...options, ...user })
  let running = await start()
  let roots = 0
  const stop = async (): Promise<void> => running.stop()
  cleanUpAtEnd(stop)
  return {
    port,
    username,
    keys: keys.files,
    knownHosts: directory.at('known_hosts'),
    fingerprint: keys.fingerprint,
    newRoot() {
      if (options.diskBytes !== undefined) return directory.at('files')
      const root = directory.at('files', String(++roots))
      mkdirSync(root)
      if (user !== undefined) chownSync(root, user.uid, user.gid)
      return root
    },
    describe: root => ({
      kind: 'sftp',
      host: '127.0.0.1',
      port,
      username,
      root,
      privateKey: readFileSync(keys.files.ed25519, 'utf8'),
    }),
    settings: root => ({
      WALG_SSH_PREFIX: `ssh://127.0.0.1${root}`,
      SSH_PORT: String(port),
      SSH_USERNAME: username,
      SSH_PRIVATE_KEY_PATH: keys.files.ed25519,
      SSH_KNOWN_HOSTS_PATH: directory.at('known_hosts'),
    }),
    stop,
    async start() {
      running = await start()
    },
  }
}

async function makeKeys(directory: TempDirectory, port: number) {
  const make = async (name: string, ...args: string[]): Promise<string> => {
    await runTool('ssh-keygen', ['-q', ...args, '-f', directory.at(name)])
    return directory.at(name)
  }
  const plain = ['-N', '']
  const rsa = ['-t', 'rsa', '-b', '2048']
  const host = await make('host', '-t', 'ed25519', ...plain)
  const files = {
    ed25519: await make('id_ed25519', '-t', 'ed25519', ...plain),
    rsa: await make('id_rsa', ...rsa, ...plain),
    pem: await make('id_pem', ...rsa, ...plain, '-m', 'PEM'),
    encrypted: await make('id_encrypted', '-t', 'ed25519', '-N', 'secret'),
  }
  // wal-g runs as the user of the cluster, too
  for (const file of Object.values(files)) giveToClusterUser(file)
  const publicKeys = Object.values(files).map(file => readFileSync(`${file}.pub`, 'utf8'))
  writeFileSync(directory.at('authorized_keys'), publicKeys.join(''))
  const [type, key] = readFileSync(`${host}.pub`, 'utf8').split(' ')
  writeFileSync(directory.at('known_hosts'), `[127.0.0.1]:${port} ${type} ${key}\n`)
  const { stdout } = await runTool('ssh-keygen', ['-l', '-f', `${host}.pub`])
  return { files, fingerprint: stdout.split(' ')[1] ?? '' }
}

function configuration(directory: TempDirectory, port: number, username: string): string {
  return `
Port ${port}
ListenAddress 127.0.0.1
HostKey ${directory.at('host')}
PidFile none
AuthorizedKeysFile ${directory.at('authorized_keys')}
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp ${sftpServerProgram()}
AllowUsers ${username}
`
}

/** The separate program: with `internal-sftp` a connection cannot be told from the server by its process. */
function sftpServerProgram(): string {
  return existsSync('/usr/lib/openssh/sftp-server') ? '/usr/lib/openssh/sftp-server' : 'internal-sftp'
}

/** A server that does not run as root reads its own files, and lets in nobody but its user. */
async function takeOver(directory: TempDirectory, username: string): Promise<UserIds> {
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async flag => Number((await runTool('id', [flag, username])).stdout)),
  )
  if (uid === undefined || gid === undefined) throw new Error(`no user ${username}`)
  await runTool('chown', ['-R', `${uid}:${gid}`, directory.path])
  return { uid, gid }
}

const ON_A_SMALL_DISK = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'

async function run(
  directory: TempDirectory,
  port: number,
  { diskBytes, uid, gid }: SftpServerOptions & Partial<UserIds>,
): Promise<{ stop(): Promise<void> }> {
  const sshd = [SSHD, '-D', '-E', directory.at('log'), '-f', directory.at('sshd_config')]
  const disk = ['-m', 'sh', '-c', ON_A_SMALL_DISK, 'sh', String(diskBytes), directory.at('files')]
  const [program, ...args] = diskBytes === undefined ? sshd : ['unshare', ...disk, ...sshd]
  const child = spawn(program!, args, {
    stdio: 'ignore',
    cwd: '/',
    ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
  })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  await untilTrue(() => answers(port), 20_000, 'sshd to answer')
  return {
    async stop() {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
      const sessions = await sessionsOf(child.pid)
      for (const pid of [child.pid, ...sessions]) kill(pid)
      await ended
    },
  }
}

/** The processes of the connections: each has left the group of the server. */
async function sessionsOf(server: number): Promise<number[]> {
  const { stdout } = await runTool('ps', ['-e', '-o', 'pid=,ppid='])
  const parents = new Map(
    stdout
      .trim()
      .split('\n')
      .map(line => line.trim().split(/\s+/).map(Number) as [number, number]),
  )
  const isBelow = (pid: number): boolean => {
    for (let at: number | undefined = parents.get(pid); at !== undefined && at > 1; at = parents.get(at)) {
      if (at === server) return true
    }
    return false
  }
  return [...parents.keys()].filter(isBelow)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has ended by itself
  }
}

/** A port of loopback that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('data', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
