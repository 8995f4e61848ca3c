import type { Awaitable, ByteSource, ByteStream } from '../../kit/bytes.ts'
import { type Deadline, openDeadline } from '../../kit/deadline.ts'
import { WalgError } from '../../kit/errors.ts'
import {
  openStallSlot,
  type StallLabel,
  type StallSlot,
  type StallSlotDescription,
  stallLabel,
} from '../../kit/stall-watch.ts'
import type { Abortable, ObjectSink, PutOptions, Storage, UnfinishedUploads } from '../storage.ts'

export interface StallOptions {
  /** 0 = no limit. */
  readonly timeoutMs: number
  /** Where blocking calls are reported, so that another thread can see them hang. */
  readonly slot?: StallSlotDescription
}

/**
 * The end of an object may take longer by its bytes at this rate: they can all lie in the page cache until the closing
 * fsync, and a slow disk is not a dead one.
 */
const SLOW_DISK_BYTES_PER_MS = 4096

/** An aborted put may take this long to clean up behind itself before its caller goes on without it. */
const GRACE_MS = 5_000

/**
 * No operation, and no wait for a byte, lasts longer than `timeoutMs`: then TIMEOUT, with the key and the storage.
 * What is bounded: every promise of the storage, between two signs of progress (a chunk pulled from the body of a put,
 * a chunk delivered, an entry listed, `onProgress`). The time in which a put waits for its own body does not count.
 * What is not: a call that blocks the thread itself. That one is only reported to the slot, and whoever watches the
 * slots (`watchStorageStalls`) ends it.
 */
export function withStallLimit(storage: Storage, options: StallOptions): Storage {
  if (options.timeoutMs === 0) return storage
  const slot = options.slot === undefined ? undefined : openStallSlot(options.slot)
  const bounds: Bounds = { storage, timeoutMs: options.timeoutMs, slot }
  return {
    name: storage.name,
    features: storage.features,
    checkRoot: given => bounded(bounds, 'open the root', '', given, inner => storage.checkRoot(inner)),
    list: (prefix, given) => boundedList(bounds, prefix, given ?? {}, inner => storage.list(prefix, inner)),
    stat: (key, given) => bounded(bounds, 'stat', key, given, inner => storage.stat(key, inner)),
    async get(key, given) {
      const body = await bounded(bounds, 'get', key, given, inner => storage.get(key, { ...given, ...inner }))
      return boundedStream(bounds, key, body, given?.signal)
    },
    put: (key, body, given) => boundedPut(bounds, key, body, given ?? {}),
    copy: (source, target, given) =>
      bounded(bounds, 'copy', source, given, inner => storage.copy(source, target, inner)),
    delete: (keys, given) =>
      bounded(bounds, 'delete', keys[0] ?? '', given, inner => storage.delete(keys, inner)),
    openSink(key, given) {
      const door = openDoor(bounds, 'put', key, given?.signal)
      const opened = door.call(() => storage.openSink(key, { ...given, signal: door.signal }), {
        late: lateAbort,
      })
      return opened instanceof Promise
        ? opened.then(sink => boundedSink(sink, door))
        : boundedSink(opened, door)
    },
    openSource(key, given) {
      const door = openDoor(bounds, 'get', key, given?.signal)
      const opened = door.call(() => storage.openSource(key, { ...given, signal: door.signal }), {
        late: lateClose,
      })
      return opened instanceof Promise
        ? opened.then(source => boundedSource(source, door))
        : boundedSource(opened, door)
    },
    close: () => storage.close(),
    ...(storage.unfinishedUploads === undefined
      ? {}
      : { unfinishedUploads: boundedUploads(bounds, storage.unfinishedUploads) }),
  }
}

interface Bounds {
  readonly storage: Storage
  readonly timeoutMs: number
  readonly slot: StallSlot | undefined
}

/** One operation as a whole; its progress winds the timer up. */
async function bounded<T>(
  bounds: Bounds,
  doing: string,
  key: string,
  given: Abortable | undefined,
  run: (inner: Abortable & { signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  const stop = new AbortController()
  const deadline = deadlineOf(bounds, doing, key, given?.signal, stop)
  const onProgress = (): void => {
    deadline.renew()
    given?.onProgress?.()
  }
  return deadline.race(run({ ...given, signal: joined(given?.signal, stop.signal), onProgress }))
}

async function boundedPut(bounds: Bounds, key: string, body: ByteStream, given: PutOptions): Promise<void> {
  const stop = new AbortController()
  const deadline = deadlineOf(bounds, 'put', key, given.signal, stop)
  const source = pausing(body, deadline)
  const signal = joined(given.signal, stop.signal)
  await deadline.race(bounds.storage.put(key, source, { ...given, signal }))
}

async function* pausing(body: ByteStream, deadline: Deadline): AsyncGenerator<Uint8Array> {
  let putBytes = 0
  deadline.pause()
  try {
    for await (const chunk of body) {
      putBytes += chunk.length
      deadline.renew()
      yield chunk
      deadline.pause()
    }
  } finally {
    deadline.renew(putBytes / SLOW_DISK_BYTES_PER_MS)
  }
}

async function* boundedStream(
  bounds: Bounds,
  key: string,
  body: ByteStream,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]()
  let isWaiting = false
  try {
    for (;;) {
      isWaiting = true
      const next = await deadlineOf(bounds, 'get', key, signal).race(iterator.next())
      isWaiting = false
      if (next.done === true) return
      yield next.value
    }
  } finally {
    // After a stall the producer still hangs in its own step: it ends when that comes back.
    const ended = iterator.return?.()
    if (!isWaiting) await ended
    else ended?.catch(() => {})
  }
}

function boundedUploads(bounds: Bounds, uploads: UnfinishedUploads): UnfinishedUploads {
  return {
    list: (prefix, given) => boundedList(bounds, prefix, given ?? {}, inner => uploads.list(prefix, inner)),
    abort: (upload, given) =>
      bounded(bounds, 'abort the upload of', upload.key, given, inner => uploads.abort(upload, inner)),
  }
}

async function* boundedList<Entry, Given extends Abortable>(
  bounds: Bounds,
  prefix: string,
  given: Given,
  list: (inner: Given) => AsyncIterable<Entry>,
): AsyncGenerator<Entry> {
  const stop = new AbortController()
  const deadline = deadlineOf(bounds, 'list', prefix, given.signal, stop)
  const onProgress = (): void => {
    deadline.renew()
    given.onProgress?.()
  }
  const signal = joined(given.signal, stop.signal)
  const iterator = list({ ...given, signal, onProgress })[Symbol.asyncIterator]()
  let isWaiting = false
  try {
    for (;;) {
      isWaiting = true
      const next = await deadline.race(iterator.next())
      isWaiting = false
      if (next.done === true) return
      yield next.value
    }
  } finally {
    const ended = iterator.return?.()
    if (!isWaiting) await ended
    else ended?.catch(() => {})
  }
}

/** How the calls of one sink or source are bounded: promises by a timer, blocking calls by the slot. */
interface Door {
  readonly signal: AbortSignal
  call<T>(run: () => Awaitable<T>, given?: DoorCall<T>): Awaitable<T>
}

interface DoorCall<T> {
  /** What to do with a result that comes after nobody waits for it any more. */
  readonly late?: (value: T) => void
  /** Beyond the usual time. */
  readonly extraMs?: number
}

function openDoor(bounds: Bounds, doing: string, key: string, given: AbortSignal | undefined): Door {
  const stop = new AbortController()
  const { slot } = bounds
  const label: StallLabel = slot === undefined ? NO_LABEL : stallLabel(stallText(bounds, doing, key))
  return {
    signal: joined(given, stop.signal),
    call<T>(run: () => Awaitable<T>, { late, extraMs = 0 }: DoorCall<T> = {}): Awaitable<T> {
      slot?.enter(label)
      let result: Awaitable<T>
      try {
        result = run()
      } finally {
        slot?.leave()
      }
      if (!(result instanceof Promise)) return result
      const work = result
      const longer = { ...bounds, timeoutMs: bounds.timeoutMs + extraMs }
      return deadlineOf(longer, doing, key, given, stop)
        .race(work)
        .catch(error => {
          if (late !== undefined) work.then(late, () => {})
          throw error
        })
    },
  }
}

const NO_LABEL: StallLabel = new Uint8Array(0)

/** A sink that opens after nobody waits for it any more must not stay open. */
function lateAbort(sink: ObjectSink): void {
  void Promise.resolve(sink.abort()).catch(() => {})
}

function lateClose(source: ByteSource): void {
  void Promise.resolve(source.close()).catch(() => {})
}

function boundedSink(sink: ObjectSink, door: Door): ObjectSink {
  let bytes: Uint8Array = NO_LABEL
  let putBytes = 0
  const write = (): Awaitable<void> => sink.write(bytes)
  const end = (): Awaitable<void> => sink.end()
  const abort = (): Awaitable<void> => sink.abort()
  return {
    write(given) {
      bytes = given
      putBytes += given.length
      return door.call(write)
    },
    end: () => door.call(end, { extraMs: putBytes / SLOW_DISK_BYTES_PER_MS }),
    abort() {
      const aborted = door.call(abort)
      // What was never visible stays hidden; a hung clean-up is not worth another error.
      return aborted instanceof Promise ? aborted.catch(() => {}) : aborted
    },
  }
}

function boundedSource(source: ByteSource, door: Door): ByteSource {
  let into: Uint8Array = NO_LABEL
  const read = (): Awaitable<number> => source.read(into)
  return {
    read(given) {
      into = given
      return door.call(read)
    },
    close: () => source.close(),
  }
}

function deadlineOf(
  bounds: Bounds,
  doing: string,
  key: string,
  signal: AbortSignal | undefined,
  stop?: AbortController,
): Deadline {
  const { timeoutMs, storage } = bounds
  return openDeadline({
    timeoutMs,
    graceMs: GRACE_MS,
    ...(signal === undefined ? {} : { signal }),
    onTimeout: () => {
      const error = stallError(stallText(bounds, doing, key), timeoutMs, { key, storage: storage.name })
      stop?.abort(error)
      return error
    },
  })
}

function stallText(bounds: Bounds, doing: string, key: string): string {
  const what = key === '' ? '' : ` "${key}"`
  return `${doing}${what} in storage "${bounds.storage.name}"`
}

/** The error of an operation that gave no sign of life; `what` such as `put "a/b" in storage "default"`. */
export function stallError(what: string, timeoutMs: number, facts: Record<string, string> = {}): WalgError {
  return new WalgError(
    'TIMEOUT',
    `unable to ${what}: it gave no answer for ${Math.round(timeoutMs) / 1000} s`,
    {
      facts: { ...facts, timeoutMs },
      hint: 'see whether the storage hangs (a mount whose server is gone, a dead disk), then run the command again; WALG_STALL_TIMEOUT is for a storage that is only slow',
    },
  )
}

function joined(given: AbortSignal | undefined, stop: AbortSignal): AbortSignal {
  return given === undefined ? stop : AbortSignal.any([given, stop])
}
