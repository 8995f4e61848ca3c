/** The thread that fetches parts: reads, decompresses, unpacks, writes and verifies, one part at a time. */

import fs from 'node:fs'
import { parentPort } from 'node:worker_threads'
import type { Codec } from '../../../codec/codec.ts'
import { openCodec } from '../../../codec/open-codec.ts'
import type { ByteSource } from '../../../kit/bytes.ts'
import { eventTurn } from '../../../kit/clock.ts'
import { encodeError } from '../../../kit/error-transport.ts'
import { fromSystemError, isDamage, WalgError } from '../../../kit/errors.ts'
import { replaceFileSystem } from '../../../kit/file-system.ts'
import { type Hasher, openHasher } from '../../../kit/hash.ts'
import { createLinearMemory } from '../../../kit/linear-memory.ts'
import { beWorkerThread } from '../../../kit/thread.ts'
import { copiesOf } from '../../../storage/layers/copies.ts'
import { openStorage, type SystemModule } from '../../../storage/open-storage.ts'
import type { Storage } from '../../../storage/storage.ts'
import { createTarReader } from '../../../tar/unpack.ts'
import { TargetTree } from '../target/target-tree.ts'
import { openFileChecksum } from './file-checksum.ts'
import type {
  ChecksumJob,
  ChecksumResult,
  FetchSetup,
  PartJob,
  PartResult,
  WorkerReply,
  WorkerRequest,
} from './part-protocol.ts'
import { PartUnpacker } from './part-unpacker.ts'

/**
 * Unpacked bytes after which the events of the thread have their turn: reading, unpacking and writing may all go on without a wait, and
 * a file's next write-back begins when the one before is known to have ended.
 */
const TURN_BYTES = 4 << 20

beWorkerThread()

interface Thread {
  readonly setup: FetchSetup
  readonly storage: Storage
  readonly codec: Codec
  readonly tree: TargetTree
  readonly contentHasher: Hasher
  readonly objectHasher: Hasher
  readonly stop: Int32Array
  readonly readBytes: BigInt64Array
}

/** The stored bytes of a part on their way to the codec: counted, and hashed when the manifest has a hash. */
interface CountedSource extends ByteSource {
  readonly countBytes: number
}

async function openThread(setup: FetchSetup): Promise<Thread> {
  if (setup.systemModule !== null) {
    const module = (await import(setup.systemModule.url)) as SystemModule
    replaceFileSystem(module.openFileSystem(setup.systemModule.options))
  }
  const memory = createLinearMemory()
  return {
    setup,
    storage: await openStorage(setup.storage),
    codec: openCodec(setup.codec, memory),
    tree: new TargetTree(setup.layout),
    contentHasher: openHasher(memory),
    objectHasher: openHasher(memory),
    stop: new Int32Array(setup.signals.stop),
    readBytes: new BigInt64Array(setup.signals.readBytes),
  }
}

/** Where several storages have the backup, each try begins with another one; what that lacks the others may have. */
async function openCopy(storage: Storage, { key, copy }: PartJob): Promise<ByteSource> {
  const copies = copiesOf(storage)
  const chosen = copies[copy % copies.length]!
  if (copies.length === 1 || chosen === copies[0]) return storage.openSource(key)
  try {
    return await chosen.openSource(key)
  } catch {
    // Whatever it was: the others are asked, and their failure is the one that counts.
    return storage.openSource(key)
  }
}

async function fetchPart(thread: Thread, job: PartJob): Promise<PartResult> {
  const isHashed = job.expectedHash !== null
  if (isHashed) thread.objectHasher.reset()
  const source = countedSource(thread, await openCopy(thread.storage, job), isHashed)
  const unpacker = new PartUnpacker(thread.setup, job, thread.tree, thread.contentHasher)
  try {
    await unpackStream(thread, job, source, unpacker)
    return await unpacker.finish(source.countBytes, checkObject(thread, job, source))
  } catch (error) {
    await unpacker.abandon().catch(() => {
      // the first failure is the one that counts
    })
    throw namedDamage(job, error)
  }
}

/** What the codec and the tar reader find wrong, with the name of the object. */
function namedDamage({ key, of }: PartJob, error: unknown): unknown {
  if (!isDamage(error) || error.facts['key'] === key) return error
  const what = error.code === 'DECRYPT_FAILED' ? 'cannot be decrypted' : 'is damaged'
  return new WalgError(error.code, `object "${key}" ${what}: ${error.message}`, {
    facts: { ...error.facts, key, backup: of.backup },
    cause: error,
    hint: error.hint ?? 'restore another backup',
  })
}

async function unpackStream(
  thread: Thread,
  job: PartJob,
  source: CountedSource,
  unpacker: PartUnpacker,
): Promise<void> {
  const reader = await thread.codec.open(source, job.extension)
  try {
    const tar = createTarReader(job.part)
    let turnBytes = 0
    for (;;) {
      const unneededBytes = reader.skip === undefined ? 0 : unpacker.unneededBytes(tar.leftBytes)
      const skippedBytes = unneededBytes === 0 ? 0 : await reader.skip!(unneededBytes)
      if (skippedBytes > 0) {
        tar.passOver(skippedBytes)
        unpacker.passOver(skippedBytes)
      }
      const next = reader.next()
      const block = next instanceof Promise ? await next : next
      if (block === null) break
      if (Atomics.load(thread.stop, 0) !== 0) throw new WalgError('CANCELLED', 'the fetch was stopped')
      tar.feed(block)
      turnBytes += block.length
      if (turnBytes >= TURN_BYTES) {
        turnBytes = 0
        await eventTurn()
      }
      for (let step = tar.step(); step !== 'need-block'; step = tar.step()) {
        if (step === 'data') unpacker.write(tar.data)
        else if (step === 'member') unpacker.begin(tar.member)
        else {
          unpacker.end()
          const room = unpacker.room()
          if (room !== undefined) await room
        }
      }
    }
    tar.finish()
  } finally {
    await reader.close()
  }
}

function countedSource(thread: Thread, source: ByteSource, isHashed: boolean): CountedSource {
  let countBytes = 0
  const take = (into: Uint8Array, count: number): number => {
    countBytes += count
    Atomics.add(thread.readBytes, 0, BigInt(count))
    if (isHashed && count > 0) thread.objectHasher.update(into.subarray(0, count))
    return count
  }
  return {
    get countBytes(): number {
      return countBytes
    },
    read(into) {
      const count = source.read(into)
      return count instanceof Promise ? count.then(value => take(into, value)) : take(into, count)
    },
    close: () => source.close(),
  }
}

/** Compares the object with the content manifest; the hash, or null without one. */
function checkObject(thread: Thread, job: PartJob, source: CountedSource): string | null {
  if (job.expectedSizeBytes !== null && source.countBytes !== job.expectedSizeBytes) {
    throw objectMismatch(job, `${source.countBytes} bytes instead of ${job.expectedSizeBytes}`)
  }
  if (job.expectedHash === null) return null
  const found = thread.objectHasher.digest()
  if (found !== job.expectedHash) throw objectMismatch(job, `hash ${found} instead of ${job.expectedHash}`)
  return found
}

function objectMismatch(job: PartJob, what: string): WalgError {
  return new WalgError(
    'CHECKSUM_MISMATCH',
    `object "${job.key}" differs from the content manifest: ${what}`,
    {
      facts: { key: job.key, backup: job.of.backup },
      hint: 'the stored object is damaged: restore another backup',
    },
  )
}

/** Reads files again that were patched, for their checksums. */
function checksumFiles(thread: Thread, job: ChecksumJob): ChecksumResult {
  const checksum = openFileChecksum(thread.setup.checksums)
  const checksums = new Uint8Array(job.names.length * checksum.sizeBytes)
  const piece = new Uint8Array(1 << 20)
  for (const [index, name] of job.names.entries()) {
    if (Atomics.load(thread.stop, 0) !== 0) throw new WalgError('CANCELLED', 'the fetch was stopped')
    const path = thread.tree.pathOf({ name })
    checksum.reset()
    try {
      const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
      try {
        for (let count = fs.readSync(fd, piece); count > 0; count = fs.readSync(fd, piece)) {
          checksum.update(piece.subarray(0, count))
        }
      } finally {
        fs.closeSync(fd)
      }
    } catch (error) {
      throw fromSystemError(error, 'read', String(path))
    }
    checksum.write(checksums, index * checksum.sizeBytes)
  }
  return { checksums }
}

/** Columns are handed over, not copied. */
function columnsOf(result: PartResult | ChecksumResult): ArrayBuffer[] {
  return Object.values(result)
    .filter(value => ArrayBuffer.isView(value))
    .map(({ buffer }) => buffer as ArrayBuffer)
}

let thread: Promise<Thread> | undefined

parentPort?.on('message', async (request: WorkerRequest) => {
  if ('setup' in request) {
    thread = openThread(request.setup)
    // a failure is told with the first job
    thread.catch(() => {})
    return
  }
  const { id, job } = request
  let reply: WorkerReply
  try {
    const opened = await thread!
    reply = { id, result: job.kind === 'part' ? await fetchPart(opened, job) : checksumFiles(opened, job) }
  } catch (error) {
    reply = { id, failure: encodeError(error) }
  }
  parentPort?.postMessage(reply, 'result' in reply ? columnsOf(reply.result) : [])
})
