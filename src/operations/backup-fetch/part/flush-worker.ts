/** A thread that flushes and closes what the part workers wrote; small, because several of them wait at a time. */
import { parentPort } from 'node:worker_threads'
import { errnoOf } from '../../../kit/errors.ts'
import { fileSystem } from '../../../kit/file-system.ts'
import { FlushRing, type FlushRingData, type FlushTask } from '../target/flush-ring.ts'
import { closeDescriptor } from '../target/flusher.ts'

/** Where the system gives no number. */
const EIO = -5

/** 0, or the number of the system's error. */
function flush({ fd, isEarly }: FlushTask): number {
  try {
    if (isEarly) {
      fileSystem().blocking.fdatasync(fd)
      return 0
    }
    try {
      fileSystem().blocking.fsync(fd)
    } finally {
      closeDescriptor(fd)
    }
    return 0
  } catch (error) {
    // the file was finished meanwhile, by another thread
    if (isEarly && errnoOf(error) === 'EBADF') return 0
    const { errno } = error as { errno?: number }
    return typeof errno === 'number' && errno !== 0 ? -Math.abs(errno) : EIO
  }
}

parentPort?.once('message', (data: FlushRingData) => {
  const ring = new FlushRing(data)
  for (let task = ring.take(); task !== undefined; task = ring.take()) ring.done(task, flush(task))
  parentPort?.close()
})
