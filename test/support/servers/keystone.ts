import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { freePort } from '../cluster.ts'
import type { SkipReason } from '../skip.ts'
import { tempDirectory } from '../temp-directory.ts'
import { startPython } from './python-server.ts'

const PACKAGES = '/usr/lib/python3/dist-packages'
const START_TIMEOUT_MS = 120_000

/** A real Keystone on loopback. */
export interface Keystone {
  /** `http://127.0.0.1:<port>`, without the version. */
  readonly url: string
  /** Makes the user of the Swift service, a project and user `demo` (password `demo`), and the endpoint of a Swift. */
  register(swiftUrl: string): Promise<void>
  stop(): Promise<void>
}

/** The reason to skip when Keystone is not installed (Debian's python3-keystone: 125 packages, so nobody installs it unasked). */
export function missingKeystone(): SkipReason {
  const isThere = ['keystone', 'keystonemiddleware'].every(name => existsSync(path.join(PACKAGES, name)))
  return isThere ? undefined : 'not installed: python3-keystone python3-keystonemiddleware (Debian)'
}

/** Starts a Keystone of its own; stopped after the file's tests at the latest. About 15 seconds. */
export async function startKeystone(): Promise<Keystone> {
  const port = await freePort()
  const { child, stop } = startPython('identity_server.py', tempDirectory('keystone'), [String(port)])
  await untilReady(child)
  const url = `http://127.0.0.1:${port}`
  return { url, stop, register: swiftUrl => register(`${url}/v3`, swiftUrl) }
}

function untilReady(child: ChildProcess): Promise<void> {
  let said = ''
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new Error(`Keystone ${reason}\n${said.slice(-4000)}`))
    const timer = setTimeout(() => fail(`was not ready after ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS)
    const listen = (chunk: unknown): void => {
      said += String(chunk)
      if (!/^READY$/m.test(said)) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout?.on('data', listen)
    child.stderr?.on('data', listen)
    child.once('exit', code => {
      clearTimeout(timer)
      fail(`ended with ${code}`)
    })
  })
}

interface Named {
  readonly id: string
  readonly name: string
}

async function register(identityUrl: string, swiftUrl: string): Promise<void> {
  let token = ''
  const ask = async (method: string, place: string, body?: unknown): Promise<Record<string, never>> => {
    const answer = await fetch(identityUrl + place, {
      method,
      headers: { 'Content-Type': 'application/json', ...(token === '' ? {} : { 'X-Auth-Token': token }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${place}: ${answer.status} ${text}`)
    token = answer.headers.get('x-subject-token') ?? token
    return text === '' ? {} : JSON.parse(text)
  }
  const domain = { id: 'default' }
  const user = { name: 'admin', password: 'admin', domain }
  await ask('POST', '/auth/tokens', {
    auth: {
      identity: { methods: ['password'], password: { user } },
      scope: { project: { name: 'admin', domain } },
    },
  })
  const roles = (await ask('GET', '/roles'))['roles'] as unknown as Named[]
  for (const [name, role] of [
    ['service', 'admin'],
    ['demo', 'member'],
  ] as const) {
    const account = name === 'service' ? 'swift' : name
    const project = (await ask('POST', '/projects', { project: { name, domain_id: 'default' } }))[
      'project'
    ] as unknown as Named
    const made = (
      await ask('POST', '/users', { user: { name: account, password: account, domain_id: 'default' } })
    )['user'] as unknown as Named
    const { id } = roles.find(each => each.name === role)!
    await ask('PUT', `/projects/${project.id}/users/${made.id}/roles/${id}`)
  }
  const service = (await ask('POST', '/services', { service: { type: 'object-store', name: 'swift' } }))[
    'service'
  ] as unknown as Named
  for (const kind of ['public', 'internal']) {
    await ask('POST', '/endpoints', {
      endpoint: {
        interface: kind,
        service_id: service.id,
        region_id: 'RegionOne',
        url: `${swiftUrl}/v1/AUTH_$(project_id)s`,
      },
    })
  }
}
