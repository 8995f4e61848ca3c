import { openCodec } from '../../codec/open-codec.ts'
import { walFetch } from '../../operations/wal-fetch/wal-fetch.ts'
import { walRestore } from '../../operations/wal-restore/wal-restore.ts'
import type { CommandDefinition, Invocation } from '../command.ts'

export const command: CommandDefinition = {
  name: 'wal-restore',
  usage: 'wal-restore target-pgdata source-pgdata',
  summary: 'Restores WAL segments from storage.',
  long: 'Restores the missing WAL segments that will be needed to perform pg_rewind from storage.',
  positionals: { kind: 'exact', count: 2 },
  flags: [],
  needsStorage: true,
  isWalTraffic: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const [targetDirectory = '', sourceDirectory = ''] = invocation.positionals
    const storage = await invocation.openStorage()
    try {
      const context = { ...invocation, storage, codec: openCodec(invocation.codecDescription) }
      await walRestore(context, { targetDirectory, sourceDirectory }, async (name, destination) => {
        await walFetch(context, { name, destination, prefetchDirectory: undefined })
      })
      return 0
    } finally {
      await storage.close()
    }
  },
}
