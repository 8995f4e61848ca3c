import { openFsDriver } from '../../src/storage/drivers/fs.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { storageContract } from './storage.ts'

for (const mode of ['pooled', 'blocking'] as const) {
  storageContract(`fs, ${mode}`, async () => {
    const directory = tempDirectory('fs')
    const storage = await openFsDriver({
      name: 'disk',
      root: directory.path,
      isDurable: mode === 'pooled',
      mode,
    })
    return { storage, close: async () => directory.remove() }
  })
}
