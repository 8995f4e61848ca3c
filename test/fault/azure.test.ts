import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { AzureDescription } from '../../src/storage/drivers/azure/description.ts'
import { expectCode, putText } from '../contract/storage-support.ts'
import { type FaultProxy, startFaultProxy } from '../doubles/fault-proxy.ts'
import {
  type Azurite,
  azuriteDescription,
  createContainer,
  missingAzurite,
  openAzure,
  startAzurite,
} from '../support/servers/azurite.ts'
import { describeUnless } from '../support/skip.ts'
import { networkStorageFaults } from './network-storage.ts'

describeUnless(missingAzurite(), 'azure behind a bad network', () => {
  let azurite: Azurite
  let proxy: FaultProxy
  beforeAll(async () => {
    azurite = await startAzurite()
    proxy = await startFaultProxy(`http://127.0.0.1:${azurite.port}`)
  })
  afterAll(async () => {
    await proxy.close()
    await azurite.stop()
  })

  const describeContainer = (container: string): AzureDescription => ({
    ...azuriteDescription(azurite, container),
    serviceUrl: azurite.serviceUrl.replace(String(azurite.port), String(proxy.port)),
    blockSizeBytes: 262_144,
    attemptsMax: 3,
    tryTimeoutMs: 1500,
  })

  networkStorageFaults(() => ({
    proxy,
    open: async () => openAzure(describeContainer(await createContainer(azurite)), 1500),
    isPutOfWhole: (method, path) => method === 'PUT' && !path.includes('comp='),
    isPutOfBlock: (method, path) => method === 'PUT' && path.includes('comp=block&'),
    isFinish: (method, path) => method === 'PUT' && path.includes('comp=blocklist'),
    isGet: (method, path) => method === 'GET' && !path.includes('comp='),
  }))

  test('a missing container is named, with what to do', async () => {
    const storage = await openAzure(describeContainer('no-such'))
    for (const work of [storage.checkRoot(), storage.stat('object'), putText(storage, 'object', 'x')]) {
      const error = await expectCode(work, 'STORAGE_ROOT_MISSING')
      expect(error.message).toContain('ContainerNotFound')
      expect(error.hint).toContain('create the container "no-such"')
    }
  })

  test('a wrong key is access denied, with the settings to look at', async () => {
    const description = describeContainer(await createContainer(azurite))
    const storage = await openAzure({
      ...description,
      credentials: { kind: 'key', key: Buffer.alloc(32, 1).toString('base64') },
    })
    const error = await expectCode(storage.checkRoot(), 'ACCESS_DENIED')
    expect(error.hint).toContain('AZURE_STORAGE_ACCESS_KEY')
  })

  test('a server that is not there is unavailable', async () => {
    const description = { ...describeContainer('container'), serviceUrl: 'http://127.0.0.1:1/account' }
    const storage = await openAzure(description)
    await expectCode(storage.checkRoot(), 'STORAGE_UNAVAILABLE')
  })
})
