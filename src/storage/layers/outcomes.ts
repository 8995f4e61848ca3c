import type { ByteStream } from '../../kit/bytes.ts'
import {
  deleteWeight,
  transferWeight,
  WEIGHT_COPY,
  WEIGHT_EXISTS,
  WEIGHT_LIST,
} from '../failover/aliveness.ts'
import { isStorageTrouble } from '../failover/storage-trouble.ts'
import type { Storage, StorageEntry } from '../storage.ts'

/** One operation, as the health of a storage is judged by it. */
export interface Outcome {
  readonly weight: number
  readonly isSuccess: boolean
}

export interface OutcomesOptions {
  /** A look (list, stat, read) that is denied says nothing against the storage: it may be there to be written only. */
  readonly mayBeUnseen?: boolean
}

/** Tells how each operation on a storage ended. What it was asked for being absent is no failure of the storage. */
export function withOutcomes(
  storage: Storage,
  tell: (outcome: Outcome) => void,
  { mayBeUnseen = false }: OutcomesOptions = {},
): Storage {
  const isLookSuccess = (error: unknown): boolean =>
    !isStorageTrouble(error) || (mayBeUnseen && error.code === 'ACCESS_DENIED')
  const watched = async <T>(
    weight: number,
    run: () => Promise<T>,
    isSuccess = (error: unknown): boolean => !isStorageTrouble(error),
  ): Promise<T> => {
    try {
      const result = await run()
      tell({ weight, isSuccess: true })
      return result
    } catch (error) {
      tell({ weight, isSuccess: isSuccess(error) })
      throw error
    }
  }
  const looked = <T>(weight: number, look: () => Promise<T>): Promise<T> =>
    watched(weight, look, isLookSuccess)
  return {
    name: storage.name,
    features: storage.features,
    checkRoot: options => looked(WEIGHT_LIST, () => storage.checkRoot(options)),
    async *list(prefix, options): AsyncGenerator<StorageEntry> {
      try {
        yield* storage.list(prefix, options)
        tell({ weight: WEIGHT_LIST, isSuccess: true })
      } catch (error) {
        tell({ weight: WEIGHT_LIST, isSuccess: isLookSuccess(error) })
        throw error
      }
    },
    stat: (key, options) => looked(WEIGHT_EXISTS, () => storage.stat(key, options)),
    get: (key, options) => looked(transferWeight(0), () => storage.get(key, options)),
    put: (key, body, options) => putWatched(storage, tell, key, body, options),
    copy: (source, target, options) => watched(WEIGHT_COPY, () => storage.copy(source, target, options)),
    delete: (keys, options) => watched(deleteWeight(keys.length), () => storage.delete(keys, options)),
    openSink(key, options) {
      const opened = storage.openSink(key, options)
      return opened instanceof Promise ? watched(transferWeight(0), () => opened) : opened
    },
    openSource(key, options) {
      const opened = storage.openSource(key, options)
      return opened instanceof Promise ? looked(transferWeight(0), () => opened) : opened
    },
    close: () => storage.close(),
  }
}

async function putWatched(
  storage: Storage,
  tell: (outcome: Outcome) => void,
  key: string,
  body: ByteStream,
  options: Parameters<Storage['put']>[2],
): Promise<void> {
  let bytes = 0
  const counted = (async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      bytes += chunk.length
      yield chunk
    }
  })()
  try {
    await storage.put(key, counted, options)
    tell({ weight: transferWeight(bytes), isSuccess: true })
  } catch (error) {
    tell({ weight: transferWeight(bytes), isSuccess: !isStorageTrouble(error) })
    throw error
  }
}
