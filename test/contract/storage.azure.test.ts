import { afterAll, beforeAll } from 'bun:test'
import {
  type Azurite,
  azuriteDescription,
  createContainer,
  missingAzurite,
  openAzure,
  startAzurite,
} from '../support/servers/azurite.ts'
import { describeUnless } from '../support/skip.ts'
import { storageContract } from './storage.ts'

// the service takes it for a slash
const BACKSLASH = { keysRefused: ['back\\slash/"quotes"/$(x)'] }

describeUnless(missingAzurite(), 'azurite', () => {
  let azurite: Azurite
  beforeAll(async () => {
    azurite = await startAzurite()
  })
  afterAll(() => azurite.stop())

  storageContract(
    'azure',
    async () => {
      const description = azuriteDescription(azurite, await createContainer(azurite))
      return { storage: await openAzure(description) }
    },
    BACKSLASH,
  )
  storageContract(
    'azure, below a path, in blocks of 256 KiB',
    async () => {
      const description = azuriteDescription(azurite, await createContainer(azurite))
      const blocks = { blockSizeBytes: 262_144, blocksMax: 3 }
      return {
        storage: await openAzure({ ...description, root: 'some/path', ...blocks }),
      }
    },
    BACKSLASH,
  )
})
