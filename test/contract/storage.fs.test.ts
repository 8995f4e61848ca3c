import { localFileSystem, nodeFileSystem } from '../../src/kit/file-system.ts'
import { openFsDriver } from '../../src/storage/drivers/fs.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { storageContract } from './storage.ts'

const FORMS = [
  { name: 'pooled', mode: 'pooled', system: nodeFileSystem },
  { name: 'pooled on local mounts', mode: 'pooled', system: localFileSystem },
  { name: 'blocking', mode: 'blocking', system: nodeFileSystem },
] as const

for (const { name, mode, system } of FORMS) {
  storageContract(`fs, ${name}`, async () => {
    const directory = tempDirectory('fs')
    const storage = await openFsDriver({
      name: 'disk',
      root: directory.path,
      isDurable: mode === 'pooled',
      mode,
      system,
    })
    return { storage, close: async () => directory.remove() }
  })
}
