import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { SkipReason } from '../skip.ts'
import { tempDirectory } from '../temp-directory.ts'
import { PYTHON, startPython } from './python-server.ts'

const SWIFT = '/usr/lib/python3/dist-packages/swift/proxy/server.py'
const START_TIMEOUT_MS = 60_000

/** A real OpenStack Swift on loopback, with its own Swift interface and with s3api, which checks signatures. */
export interface SwiftServer {
  /** `http://127.0.0.1:<port>`: endpoint of S3 (path style) and base of the Swift interface. */
  readonly url: string
  readonly port: number
  /** What the S3 interface knows: the settings of `WALG_S3_PREFIX`. */
  readonly s3: {
    readonly AWS_ENDPOINT: string
    readonly AWS_ACCESS_KEY_ID: string
    readonly AWS_SECRET_ACCESS_KEY: string
    readonly AWS_REGION: string
    readonly AWS_S3_FORCE_PATH_STYLE: string
  }
  /** What the Swift interface knows: the settings of `WALG_SWIFT_PREFIX` (tempauth, version 1). */
  readonly swift: {
    readonly OS_AUTH_URL: string
    readonly OS_USERNAME: string
    readonly OS_PASSWORD: string
  }
  /** Makes a new container, which is a bucket at the same time; returns its name. */
  createContainer(name?: string): Promise<string>
  /** A request to the Swift interface as the user of the tests, e.g. `request('GET', '/container?format=json')`. */
  request(method: string, pathBelowAccount: string, init?: RequestInit): Promise<Response>
  stop(): Promise<void>
}

export interface SwiftServerOptions {
  /** Largest object that a single PUT may make (the cluster's limit, 5 GiB by default). */
  readonly maxFileSizeBytes?: number
  /** Base of a Keystone, instead of the built-in tempauth. */
  readonly keystoneUrl?: string
}

/** The reason to skip when Swift is not installed (Debian's python3-swift). */
export function missingSwift(): SkipReason {
  return existsSync(PYTHON) && existsSync(SWIFT) ? undefined : 'not installed: python3-swift (Debian)'
}

/** Starts a Swift of its own; stopped after the file's tests at the latest. About a second. */
export async function startSwiftServer(options: SwiftServerOptions = {}): Promise<SwiftServer> {
  const args: string[] = []
  if (options.maxFileSizeBytes !== undefined) args.push('--max-file-size', String(options.maxFileSizeBytes))
  if (options.keystoneUrl !== undefined) args.push('--keystone', options.keystoneUrl)
  const { child, stop } = startPython('server.py', tempDirectory('swift'), args)
  const port = await readyPort(child)
  return makeServer(port, stop)
}

function readyPort(child: ChildProcess): Promise<number> {
  let output = ''
  let errors = ''
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new Error(`Swift ${reason}\n${errors.slice(-4000)}`))
    const timer = setTimeout(() => fail(`was not ready after ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS)
    child.stderr?.on('data', chunk => {
      errors = `${errors}${chunk}`.slice(-8000)
    })
    child.stdout?.on('data', chunk => {
      output += chunk
      const match = /^READY (\d+)$/m.exec(output)
      if (match === null) return
      clearTimeout(timer)
      resolve(Number(match[1]))
    })
    child.once('error', error => fail(`cannot be started: ${error.message}`))
    child.once('exit', code => {
      clearTimeout(timer)
      fail(`ended with ${code}`)
    })
  })
}

function makeServer(port: number, stop: () => Promise<void>): SwiftServer {
  const url = `http://127.0.0.1:${port}`
  let account: Promise<{ storageUrl: string; token: string }> | undefined
  const logIn = async (): Promise<{ storageUrl: string; token: string }> => {
    const answer = await fetch(`${url}/auth/v1.0`, {
      headers: { 'X-Auth-User': 'test:tester', 'X-Auth-Key': 'testing' },
    })
    if (!answer.ok) throw new Error(`no token: ${answer.status}`)
    return { storageUrl: answer.headers.get('x-storage-url')!, token: answer.headers.get('x-auth-token')! }
  }
  const request: SwiftServer['request'] = async (method, pathBelowAccount, init = {}) => {
    account ??= logIn()
    const { storageUrl, token } = await account
    const headers = { ...(init.headers as Record<string, string> | undefined), 'X-Auth-Token': token }
    return fetch(`${storageUrl}${pathBelowAccount}`, { ...init, method, headers })
  }
  return {
    url,
    port,
    s3: {
      AWS_ENDPOINT: url,
      AWS_ACCESS_KEY_ID: 'test:tester',
      AWS_SECRET_ACCESS_KEY: 'testing',
      AWS_REGION: 'us-east-1',
      AWS_S3_FORCE_PATH_STYLE: 'true',
    },
    swift: { OS_AUTH_URL: `${url}/auth/v1.0`, OS_USERNAME: 'test:tester', OS_PASSWORD: 'testing' },
    async createContainer(name = `walg-${crypto.randomUUID()}`) {
      const answer = await request('PUT', `/${encodeURIComponent(name)}`)
      if (!answer.ok) throw new Error(`no container: ${answer.status}`)
      return name
    },
    request,
    stop,
  }
}
