import { dirname } from 'node:path'
import { openCodec } from '../../codec/open-codec.ts'
import { prefetchBase } from '../../operations/wal-fetch/prefetch-origin.ts'
import { TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { archivesOf, withOpened } from '../opened-storages.ts'

export const command: CommandDefinition = {
  name: 'wal-prefetch',
  usage: 'wal-prefetch wal_name prefetch_location',
  summary: 'Used for prefetching process forking\nand should not be called by user.',
  positionals: { kind: 'exact', count: 2 },
  flags: [TARGET_STORAGE_FLAG],
  hidden: true,
  needsStorage: true,
  isWalTraffic: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const { walPrefetch } = await import('../../operations/wal-fetch/wal-prefetch.ts')
    const [name = '', location = ''] = invocation.positionals
    const { settings } = invocation
    return withOpened(await invocation.openForFetch({ isProved: true }), async opened => {
      await walPrefetch(
        { ...invocation, storage: opened.merged, codec: openCodec(invocation.codecDescription) },
        {
          name,
          base: prefetchBase(settings.WALG_PREFETCH_DIR, location),
          destinationDirectory: dirname(location),
          depth: settings.WALG_DOWNLOAD_CONCURRENCY,
          segmentBytes: settings.WALG_PG_WAL_SIZE * 1024 * 1024,
          archives: archivesOf(opened),
        },
      )
      return 0
    })
  },
}
