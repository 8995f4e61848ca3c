import type { CodecDescription } from './codec.ts'

/**
 * To be awaited before threads are started that will seal with this codec. A native addon serves any number of
 * threads, but two that load it for the first time at the same moment can fail ("symbol 'napi_register_module_v1'
 * not found"): this thread loads it before them.
 */
export async function prepareThreads({ compression }: Pick<CodecDescription, 'compression'>): Promise<void> {
  if (compression === 'lzma') await import('./compression/lzma-writer.ts')
}
