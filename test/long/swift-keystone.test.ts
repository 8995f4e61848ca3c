import { afterAll, beforeAll, expect, test } from 'bun:test'
import { textsOfRecord } from '../../src/kit/settings.ts'
import { openSwiftDriver } from '../../src/storage/drivers/swift/driver.ts'
import { readSwift } from '../../src/storage/drivers/swift/read-settings.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { storageContract } from '../contract/storage.ts'
import { expectCode, getText, putText } from '../contract/storage-support.ts'
import { type Keystone, missingKeystone, startKeystone } from '../support/servers/keystone.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../support/servers/swift-server.ts'
import { describeUnless } from '../support/skip.ts'

describeUnless(missingSwift() ?? missingKeystone(), 'Swift behind a real Keystone', () => {
  let keystone: Keystone | undefined
  let swift: SwiftServer | undefined
  let containers = 0
  beforeAll(async () => {
    keystone = await startKeystone()
    swift = await startSwiftServer({ keystoneUrl: keystone.url })
    await keystone.register(swift.url)
  }, 180_000)
  afterAll(async () => {
    await swift?.stop()
    await keystone?.stop()
  })

  const settings = (more: Record<string, string> = {}): Record<string, string> => ({
    OS_AUTH_URL: `${keystone!.url}/v3`,
    OS_USERNAME: 'demo',
    OS_PASSWORD: 'demo',
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_NAME: 'demo',
    OS_PROJECT_DOMAIN_NAME: 'Default',
    OS_REGION_NAME: 'RegionOne',
    ...more,
  })

  /** A container of the project, made with a token of its own. */
  const createContainer = async (): Promise<string> => {
    const name = `walg-${containers++}`
    const domain = { id: 'default' }
    const answer = await fetch(`${keystone!.url}/v3/auth/tokens`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        auth: {
          identity: { methods: ['password'], password: { user: { name: 'demo', domain, password: 'demo' } } },
          scope: { project: { name: 'demo', domain } },
        },
      }),
    })
    const { token } = (await answer.json()) as { token: { project: { id: string } } }
    const made = await fetch(`${swift!.url}/v1/AUTH_${token.project.id}/${name}`, {
      method: 'PUT',
      headers: { 'X-Auth-Token': answer.headers.get('x-subject-token')! },
    })
    expect(made.ok).toBe(true)
    return name
  }

  const open = async (container: string, given: Record<string, string>): Promise<Storage> => {
    const record = { WALG_SWIFT_PREFIX: `swift://${container}/main`, ...given }
    const { description, problems } = await readSwift(textsOfRecord(record, 'environment'))
    if (description === undefined) throw new Error(JSON.stringify(problems))
    return openSwiftDriver({ name: 'swift', ...description, segmentSizeBytes: 1 << 20 })
  }

  storageContract('swift with tokens of Keystone', async () => ({
    storage: await open(await createContainer(), settings()),
  }))

  test('what it refuses is said with its setting', async () => {
    const container = await createContainer()
    for (const [more, name] of [
      [{ OS_PASSWORD: 'wrong' }, 'OS_PASSWORD'],
      [{ OS_REGION_NAME: 'RegionTwo' }, 'OS_REGION_NAME'],
    ] as const) {
      const storage = await open(container, settings(more))
      expect((await expectCode(storage.checkRoot(), 'ACCESS_DENIED')).hint).toContain(name)
      await storage.close()
    }
    const storage = await open(container, settings())
    await putText(storage, 'object', 'content')
    expect(await getText(storage, 'object')).toBe('content')
    await storage.close()
  })
})
