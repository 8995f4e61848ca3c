import { afterAll, beforeAll, expect, test } from 'bun:test'
import { textsOfRecord } from '../../src/kit/settings.ts'
import { openSwiftDriver } from '../../src/storage/drivers/swift/driver.ts'
import { readSwift } from '../../src/storage/drivers/swift/read-settings.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { type KeystoneServer, startKeystoneServer } from '../doubles/keystone-server.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../support/servers/swift-server.ts'
import { describeUnless } from '../support/skip.ts'
import { expectCode, getText, putText } from './storage-support.ts'

describeUnless(missingSwift(), 'Swift with tokens of Keystone, version 3', () => {
  let swift: SwiftServer
  let keystone: KeystoneServer
  let container = ''
  beforeAll(async () => {
    swift = await startSwiftServer()
    keystone = await startKeystoneServer(swift.url)
    container = await swift.createContainer()
  })
  afterAll(async () => {
    await keystone[Symbol.asyncDispose]()
    await swift.stop()
  })

  const open = async (settings: Record<string, string>): Promise<Storage> => {
    const record = {
      WALG_SWIFT_PREFIX: `swift://${container}/x`,
      OS_AUTH_URL: keystone.url,
      OS_REGION_NAME: 'RegionTwo',
      ...settings,
    }
    const { description, problems } = await readSwift(textsOfRecord(record, 'environment'))
    if (description === undefined) throw new Error(JSON.stringify(problems))
    return openSwiftDriver({ name: 'swift', ...description, patience: { attemptsMax: 1 } })
  }

  const PASSWORD = { OS_USERNAME: 'tester', OS_PASSWORD: 'testing', OS_USER_DOMAIN_NAME: 'Default' }

  test('a password, a token and an application credential are exchanged for one of the project', async () => {
    const cases: readonly [Record<string, string>, unknown][] = [
      [{ ...PASSWORD, OS_PROJECT_NAME: 'p' }, { project: { name: 'p', domain: { name: 'Default' } } }],
      [
        { ...PASSWORD, OS_TENANT_NAME: 'p', OS_PROJECT_DOMAIN_ID: 'd' },
        { project: { name: 'p', domain: { id: 'd' } } },
      ],
      [{ OS_USER_ID: 'u-1', OS_PASSWORD: 'testing', OS_PROJECT_ID: 'i' }, { project: { id: 'i' } }],
      [{ ...PASSWORD, OS_TRUST_ID: 't' }, { 'OS-TRUST:trust': { id: 't' } }],
      [
        { OS_APPLICATION_CREDENTIAL_ID: 'credential', OS_APPLICATION_CREDENTIAL_SECRET: 'testing' },
        undefined,
      ],
      [{ OS_AUTH_TOKEN: 'a-token', OS_TENANT_ID: 'i' }, { project: { id: 'i' } }],
    ]
    for (const [settings, scope] of cases) {
      const storage = await open(settings)
      await putText(storage, 'object', 'content')
      expect(await getText(storage, 'object')).toBe('content')
      expect(keystone.requests.at(-1)?.scope).toEqual(scope)
      await storage.close()
    }
  })

  test('a wrong password, another region and another endpoint are said with their settings', async () => {
    const cases: readonly [Record<string, string>, string][] = [
      [{ ...PASSWORD, OS_PASSWORD: 'wrong' }, 'OS_PASSWORD'],
      [{ ...PASSWORD, OS_REGION_NAME: 'RegionThree' }, 'OS_REGION_NAME'],
      [{ ...PASSWORD, OS_ENDPOINT_TYPE: 'adminURL' }, 'OS_ENDPOINT_TYPE'],
      [{ ...PASSWORD, OS_AUTH_URL: `${keystone.url}/nowhere` }, 'OS_AUTH_URL'],
    ]
    for (const [settings, name] of cases) {
      const storage = await open(settings)
      const error = await expectCode(storage.checkRoot(), 'ACCESS_DENIED')
      expect(error.hint).toContain(name)
      await storage.close()
    }
  })
})
