/** The thread in which parts are packed: opens its own storage and codec, then runs the loop of `pack-parts.ts`. */
import type { CodecDescription } from '../../../codec/codec.ts'
import { openCodec } from '../../../codec/open-codec.ts'
import { encodeError, type PlainError } from '../../../kit/error-transport.ts'
import { assert } from '../../../kit/errors.ts'
import { createLinearMemory } from '../../../kit/linear-memory.ts'
import { beWorkerThread } from '../../../kit/thread.ts'
import type { StorageDescription } from '../../../storage/description.ts'
import { openStorage } from '../../../storage/open-storage.ts'
import { type FeedAnswer, type FeedRequest, FileFeed } from './file-feed.ts'
import { packParts } from './pack-parts.ts'
import type { PackReport, PackRoom, PartsTask } from './pack-task.ts'

/** `open` is sent at once, so that opening hides behind the server's round trips; `pack` when the files are known. */
export type WorkerRequest =
  | {
      readonly kind: 'open'
      readonly worker: number
      readonly storage: StorageDescription
      readonly codec: CodecDescription
    }
  | { readonly kind: 'pack'; readonly task: PartsTask }
  /** The answer to `more files`. */
  | { readonly kind: 'files'; readonly answer: FeedAnswer }

/** After `done` or `failed` nothing more is said about a `pack`. */
export type WorkerReply =
  | PackReport
  | FeedRequest
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: PlainError }

/** What a worker's global scope offers. */
interface WorkerScope {
  postMessage(message: WorkerReply, transfer?: Transferable[]): void
  onmessage: ((event: { readonly data: WorkerRequest }) => void) | null
}

beWorkerThread()
const scope = globalThis as unknown as WorkerScope
const reply = (message: WorkerReply): void =>
  scope.postMessage(message, message.kind === 'files done' ? [message.batch.rows, message.batch.names] : [])
const feed = new FileFeed(reply)

let opening: Promise<PackRoom> | undefined

async function open(request: Extract<WorkerRequest, { kind: 'open' }>): Promise<PackRoom> {
  const memory = createLinearMemory()
  const storage = await openStorage(request.storage)
  return {
    storage,
    codec: openCodec(request.codec, memory),
    memory,
    worker: request.worker,
    report: reply,
    nextBatch: finished => feed.next(finished),
  }
}

async function serve(request: WorkerRequest): Promise<void> {
  try {
    if (request.kind === 'files') {
      feed.receive(request.answer)
      return
    }
    if (request.kind === 'open') {
      opening = open(request)
      await opening
      return
    }
    assert(opening !== undefined, 'open comes before pack')
    await packParts(await opening, request.task)
    reply({ kind: 'done' })
  } catch (error) {
    // A failed opening is told when somebody wants to pack.
    if (request.kind === 'pack') reply({ kind: 'failed', error: encodeError(error) })
  }
}

scope.onmessage = event => void serve(event.data)
