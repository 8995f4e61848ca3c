import { openCodec } from '../../codec/open-codec.ts'
import { catchupFetch } from '../../operations/backup-fetch/catchup/catchup-fetch.ts'
import { selectionOf } from '../../repository/selector.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { withCatchupPlace } from './catchup-place.ts'

export const command: CommandDefinition = {
  name: 'catchup-fetch',
  usage: 'catchup-fetch PGDATA backup_name',
  summary: 'Fetches an incremental backup from storage',
  positionals: { kind: 'exact', count: 2 },
  flags: [{ name: 'use-new-unwrap', type: 'boolean', doc: 'Accepted; there is one implementation' }],
  needsStorage: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const { settings } = invocation
    const [destination = '', name = ''] = invocation.positionals
    await withCatchupPlace(invocation, false, place =>
      catchupFetch(
        { ...invocation, ...place, codec: openCodec(invocation.codecDescription) },
        {
          destination,
          selection: selectionOf(name),
          concurrencyMax: settings.WALG_DOWNLOAD_CONCURRENCY,
          retriesMax: settings.WALG_DOWNLOAD_FILE_RETRIES,
          isDurable: !settings.WALG_TAR_DISABLE_FSYNC,
          pageBytes: settings.WALG_PG_BLOCK_SIZE,
        },
      ),
    )
    return 0
  },
}
