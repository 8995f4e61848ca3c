import type { ByteStream } from '../../kit/bytes.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import type { Abortable, ObjectSink } from '../storage.ts'

/** Puts a stream through a sink; whatever goes wrong, in it or here, reaches the caller as it is, and nothing stays. */
export async function putThroughSink(
  sink: ObjectSink,
  body: ByteStream | Iterable<Uint8Array>,
  options: Abortable,
): Promise<void> {
  try {
    for await (const chunk of body) {
      throwIfCancelled(options.signal)
      await sink.write(chunk)
      options.onProgress?.()
    }
    throwIfCancelled(options.signal)
  } catch (error) {
    await sink.abort()
    throw error
  }
  await sink.end()
}
