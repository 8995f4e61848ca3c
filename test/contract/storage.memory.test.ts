import { dropMemory, openMemoryDriver } from '../../src/storage/drivers/memory.ts'
import { storageContract } from './storage.ts'

storageContract('memory', async () => {
  const id = crypto.randomUUID()
  return { storage: openMemoryDriver('memory', id), close: async () => dropMemory(id) }
})
