import { broadcastNotice, onNotice } from '../../../kit/log.ts'
import { isWorkerThread } from '../../../kit/thread.ts'
import { FilePacker } from './file-packer.ts'
import type { PackRoom, PartsTask } from './pack-task.ts'
import { PartControl } from './part-control.ts'
import { FileQueue, WorkerParts } from './worker-parts.ts'

/**
 * The loop of one worker: takes the next files that nobody has taken, packs them into its own part, closes the part
 * before it would grow too large, until no file is left. What becomes of each file goes into its batch. A failure
 * leaves no object of the part that was open.
 */
export async function packParts(room: PackRoom, task: PartsTask): Promise<void> {
  const control = new PartControl(task.control)
  const queue = new FileQueue(room)
  const parts = new WorkerParts(room, task, control, queue)
  const packer = new FilePacker(room, task, control, queue)
  if (isWorkerThread()) {
    // A storage that tries again says so: that is a sign of life, and where it learns that it shall stop.
    onNotice((text, level) => {
      broadcastNotice(text, level)
      control.beat(room.worker, queue.turn, 0)
    })
  }
  try {
    for (let hasFile = await queue.advance(); hasFile; ) {
      control.beat(room.worker, queue.turn, 0)
      const packed = packer.packNext(parts)
      if (packed !== undefined) await packed
      hasFile = queue.advanceInBatch() || (await queue.advance())
    }
    await parts.finish()
  } catch (error) {
    await parts.abort()
    throw error
  }
}
