import { dirname } from 'node:path'
import { openCodec } from '../../codec/open-codec.ts'
import { prefetchBase } from '../../operations/wal-fetch/prefetch-origin.ts'
import { TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { archivesOf, withOpened } from '../opened-storages.ts'

/** How wal-fetch tells the size. */
export const SEGMENT_BYTES_FLAG = 'segment-bytes'

export const command: CommandDefinition = {
  name: 'wal-prefetch',
  usage: 'wal-prefetch wal_name prefetch_location',
  summary: 'Used for prefetching process forking\nand should not be called by user.',
  positionals: { kind: 'exact', count: 2 },
  flags: [
    {
      name: SEGMENT_BYTES_FLAG,
      type: 'string',
      // written by wal-fetch, which has seen a segment
      hidden: true,
      doc: 'Size of a segment, in bytes (default WALG_PG_WAL_SIZE)',
    },
    TARGET_STORAGE_FLAG,
  ],
  hidden: true,
  needsStorage: true,
  isWalTraffic: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const { walPrefetch } = await import('../../operations/wal-fetch/wal-prefetch.ts')
    const [name = '', location = ''] = invocation.positionals
    const { settings, flags } = invocation
    const segmentBytes = Number(flags[SEGMENT_BYTES_FLAG] ?? settings.WALG_PG_WAL_SIZE * 1024 * 1024)
    return withOpened(await invocation.openForFetch({ isProved: true }), async opened => {
      await walPrefetch(
        { ...invocation, storage: opened.merged, codec: openCodec(invocation.codecDescription) },
        {
          name,
          base: prefetchBase(settings.WALG_PREFETCH_DIR, location),
          destinationDirectory: dirname(location),
          depth: settings.WALG_DOWNLOAD_CONCURRENCY,
          segmentBytes,
          archives: archivesOf(opened),
        },
      )
      return 0
    })
  },
}
