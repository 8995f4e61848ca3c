import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { errnoOf, WalgError } from '../../kit/errors.ts'
import { packetTag, TAG } from './openpgp-packets.ts'

const TIMEOUT_MS = 60_000
const OUTPUT_BYTES_MAX = 1 << 20
const COMMON_ARGS: readonly string[] = ['--batch', '--no-tty', '--quiet']
/** Symmetric algorithms of OpenPGP by number, RFC 9580 9.3. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  '2': 'tripledes',
  '7': 'aes128',
  '8': 'aes192',
  '9': 'aes256',
}

interface Ended {
  readonly exit: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** The armored public key of one entity in gpg's key ring. Throws KEY_INVALID. */
export async function exportPublicKey(keyId: string): Promise<string> {
  const { exit, stdout, stderr } = await runGpg(['--armor', '--export', '--', keyId])
  if (exit === 0 && stdout.length > 0) return stdout.toString('latin1')
  throw new WalgError('KEY_INVALID', `names the key "${keyId}", which gpg does not export`, {
    cause: new Error(lastLine(stderr)),
  })
}

/** True when gpg has the private key, itself or on a card. */
export async function hasPrivateKey(keyId: string): Promise<boolean> {
  const { exit, stdout } = await runGpg(['--with-colons', '--list-secret-keys', '--', keyId])
  return exit === 0 && stdout.length > 0
}

/**
 * Lets gpg and its agent unwrap the session key of a message; only the session key packets go there, none of the
 * data. Undefined when gpg has no key for it. The passphrase, if any, goes through a pipe.
 */
export async function unwrapWithGpg(
  sessionPackets: Uint8Array,
  passphrase: string | undefined,
): Promise<{ readonly algorithm: string; readonly data: Uint8Array } | undefined> {
  // gpg tells the session key before it finds out that this is no content
  const noContent = Buffer.concat([Uint8Array.of(packetTag(TAG.encrypted), 42, 1), randomBytes(41)])
  const loopback = passphrase === undefined ? [] : ['--pinentry-mode', 'loopback', '--passphrase-fd', '3']
  const args = [...loopback, '--status-fd', '1', '--show-session-key', '--output', '/dev/null', '--decrypt']
  const { stdout } = await runGpg(args, Buffer.concat([sessionPackets, noContent]), passphrase)
  const [, number, key] =
    /^\[GNUPG:\] SESSION_KEY (\d+):([0-9A-Fa-f]+)/m.exec(stdout.toString('latin1')) ?? []
  stdout.fill(0)
  if (number === undefined || key === undefined) return undefined
  return {
    algorithm: ALGORITHMS[number] ?? `cipher ${number}`,
    data: new Uint8Array(Buffer.from(key, 'hex')),
  }
}

function runGpg(args: readonly string[], input?: Uint8Array, passphrase?: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn('gpg', [...COMMON_ARGS, ...args], {
      stdio: ['pipe', 'pipe', 'pipe', passphrase === undefined ? 'ignore' : 'pipe'],
      timeout: TIMEOUT_MS,
    })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    let outputBytes = 0
    const keep = (chunks: Buffer[]) => (chunk: Buffer) => {
      outputBytes += chunk.length
      if (outputBytes <= OUTPUT_BYTES_MAX) chunks.push(chunk)
      else child.kill()
    }
    child.stdout?.on('data', keep(stdout))
    child.stderr?.on('data', keep(stderr))
    child.on('error', error => reject(notRun(error)))
    child.on('close', exit =>
      resolve({ exit, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString('utf8') }),
    )
    // gpg may stop reading early; its exit tells what matters
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    const passphrasePipe = child.stdio[3]
    if (passphrase !== undefined && passphrasePipe !== null && passphrasePipe !== undefined) {
      passphrasePipe.on('error', () => {})
      ;(passphrasePipe as NodeJS.WritableStream).end(`${passphrase}\n`)
    }
  })
}

function notRun(error: Error): WalgError {
  const reason =
    errnoOf(error) === 'ENOENT'
      ? 'gpg is not installed'
      : `gpg cannot be run: ${errnoOf(error) ?? error.message}`
  return new WalgError('KEY_INVALID', `needs gpg, but ${reason}`, { cause: error })
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
