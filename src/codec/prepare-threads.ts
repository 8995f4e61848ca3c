import type { CodecDescription } from './codec.ts'

/**
 * To be awaited before threads are started that will seal or open with this codec. A native addon serves any number
 * of threads, but two that load it for the first time at the same moment can fail ("symbol 'napi_register_module_v1'
 * not found"): this thread loads it before them. No compression has an addon; libsodium has.
 */
export async function prepareThreads({ encryption }: Pick<CodecDescription, 'encryption'>): Promise<void> {
  if (encryption === undefined) return
  if (![encryption.write, ...encryption.read].some(key => key?.method === 'libsodium')) return
  const { loadSecretStreams } = await import('./encryption/secretstream.ts')
  await loadSecretStreams()
}
