import type { Awaitable, ByteSource, ByteStream } from '../../kit/bytes.ts'
import type { RateLimiter } from '../../kit/limits.ts'
import type { ObjectSink, Storage } from '../storage.ts'

/**
 * Holds the bytes that go to and come from a storage to a rate shared by all threads. In a worker waiting
 * blocks, so that a synchronous storage stays synchronous; on the main thread it is a promise.
 */
export function withThrottle(storage: Storage, limiter: RateLimiter, mayBlock: boolean): Storage {
  return {
    name: storage.name,
    features: { ...storage.features, synchronous: storage.features.synchronous && mayBlock },
    checkRoot: options => storage.checkRoot(options),
    list: (prefix, options) => storage.list(prefix, options),
    stat: (key, options) => storage.stat(key, options),
    get: async (key, options) => paced(await storage.get(key, options), limiter),
    put: (key, body, options) => storage.put(key, paced(body, limiter), options),
    copy: (source, target, options) => storage.copy(source, target, options),
    delete: (keys, options) => storage.delete(keys, options),
    openSink(key, options) {
      const sink = storage.openSink(key, options)
      return sink instanceof Promise
        ? sink.then(opened => pacedSink(opened, limiter))
        : pacedSink(sink, limiter)
    },
    openSource(key, options) {
      const source = storage.openSource(key, options)
      return source instanceof Promise
        ? source.then(opened => pacedSource(opened, limiter))
        : pacedSource(source, limiter)
    },
    close: () => storage.close(),
    ...(storage.unfinishedUploads === undefined ? {} : { unfinishedUploads: storage.unfinishedUploads }),
    ...(storage.versions === undefined ? {} : { versions: storage.versions }),
  }
}

async function* paced(stream: ByteStream, limiter: RateLimiter): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    await limiter.take(chunk.length)
    yield chunk
  }
}

function pacedSink(sink: ObjectSink, limiter: RateLimiter): ObjectSink {
  return {
    write(bytes): Awaitable<void> {
      const turn = limiter.take(bytes.length)
      return turn instanceof Promise ? turn.then(() => sink.write(bytes)) : sink.write(bytes)
    },
    end: () => sink.end(),
    abort: () => sink.abort(),
  }
}

function pacedSource(source: ByteSource, limiter: RateLimiter): ByteSource {
  const pay = (count: number): Awaitable<number> => {
    const turn = limiter.take(count)
    return turn instanceof Promise ? turn.then(() => count) : count
  }
  return {
    read(into): Awaitable<number> {
      const read = source.read(into)
      return read instanceof Promise ? read.then(pay) : pay(read)
    },
    close: () => source.close(),
  }
}
