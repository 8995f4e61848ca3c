import type { Codec } from '../../../codec/codec.ts'
import { walKey } from '../../../repository/layout.ts'
import { findPayload } from '../../../repository/sealed.ts'
import { isStorageTrouble } from '../../../storage/failover/storage-trouble.ts'
import type { Storage } from '../../../storage/storage.ts'
import type { OperationContext } from '../../context.ts'
import type { WalSource } from '../wal-source.ts'
import { judgeArchived } from './overwrite-guard.ts'
import { different } from './refusals.ts'

export interface SourceElsewhere {
  readonly context: OperationContext
  readonly codec: Codec
  readonly source: WalSource
}

/**
 * A fetch takes a name from the first storage that has it: what lies in another one since an outage must be the same. Only
 * what provably differs stops a push; a storage that does not answer, or an object that cannot be read, does not.
 * Throws WAL_OVERWRITE.
 */
export async function refuseElsewhere(
  { context, codec, source }: SourceElsewhere,
  storages: readonly Storage[],
): Promise<void> {
  const { log, signal } = context
  for (const storage of storages) {
    try {
      const found = await findPayload(storage, walKey(source.name, ''), { signal })
      if (found === null) continue
      const verdict = await judgeArchived({ storage, codec, source, found })
      if (verdict.kind === 'different') throw different(storage, source, found.key)
      if (verdict.kind === 'identical' || verdict.kind === 'gone') continue
      log.warning(
        `"${found.key}" in storage "${storage.name}" is ${verdict.kind}: ${source.name} is not compared with it`,
      )
    } catch (error) {
      if (!isStorageTrouble(error) || signal.aborted) throw error
      log.warning(
        `storage "${storage.name}" cannot be asked whether it has ${source.name}: ${error.message}; going on without it`,
      )
    }
  }
}
