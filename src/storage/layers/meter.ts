import type { Awaitable, ByteSource, ByteStream } from '../../kit/bytes.ts'
import type { ObjectSink, Storage } from '../storage.ts'

/** What went through a storage. Bytes count when they have been handed over, whether or not the object was completed. */
export interface Meter {
  putBytes: number
  getBytes: number
  puts: number
  gets: number
  stats: number
  lists: number
  copies: number
  /** Objects named in deletions. */
  deletes: number
}

export function createMeter(): Meter {
  return { putBytes: 0, getBytes: 0, puts: 0, gets: 0, stats: 0, lists: 0, copies: 0, deletes: 0 }
}

/** Counts operations as they begin and bytes as they pass, into `meter`. */
export function withMeter(storage: Storage, meter: Meter): Storage {
  return {
    name: storage.name,
    features: storage.features,
    checkRoot: options => storage.checkRoot(options),
    list(prefix, options) {
      meter.lists++
      return storage.list(prefix, options)
    },
    stat(key, options) {
      meter.stats++
      return storage.stat(key, options)
    },
    async get(key, options) {
      meter.gets++
      return counted(await storage.get(key, options), bytes => {
        meter.getBytes += bytes
      })
    },
    put(key, body, options) {
      meter.puts++
      const count = (bytes: number): void => {
        meter.putBytes += bytes
      }
      return storage.put(key, counted(body, count), options)
    },
    copy(source, target, options) {
      meter.copies++
      return storage.copy(source, target, options)
    },
    delete(keys, options) {
      meter.deletes += keys.length
      return storage.delete(keys, options)
    },
    openSink(key, options) {
      meter.puts++
      return andThen(storage.openSink(key, options), sink => countedSink(sink, meter))
    },
    openSource(key, options) {
      meter.gets++
      return andThen(storage.openSource(key, options), source => countedSource(source, meter))
    },
    close: () => storage.close(),
  }
}

async function* counted(stream: ByteStream, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    count(chunk.length)
    yield chunk
  }
}

function countedSink(sink: ObjectSink, meter: Meter): ObjectSink {
  return {
    write(bytes) {
      const written = sink.write(bytes)
      meter.putBytes += bytes.length
      return written
    },
    end: () => sink.end(),
    abort: () => sink.abort(),
  }
}

function countedSource(source: ByteSource, meter: Meter): ByteSource {
  const count = (bytes: number): number => {
    meter.getBytes += bytes
    return bytes
  }
  return {
    read(into) {
      const read = source.read(into)
      return read instanceof Promise ? read.then(count) : count(read)
    },
    close: () => source.close(),
  }
}

function andThen<T, R>(value: Awaitable<T>, next: (value: T) => R): Awaitable<R> {
  return value instanceof Promise ? value.then(next) : next(value)
}
