import { BlockCrew } from '../../../codec/block-crew.ts'
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
  const alive = (): void => control.beat(room.worker, queue.turn, 0)
  const crew = task.crew === undefined ? undefined : new BlockCrew(task.crew, alive)
  const parts = new WorkerParts(room, task, control, queue, crew)
  const packer = new FilePacker(room, task, control, queue)
  if (isWorkerThread()) {
    // A storage that tries again says so: that is a sign of life, and where it learns that it shall stop.
    onNotice((text, level) => {
      broadcastNotice(text, level)
      alive()
    })
  }
  try {
    for (let hasFile = await queue.advance(); hasFile; ) {
      alive()
      const packed = packer.packNext(parts)
      if (packed !== undefined) await packed
      hasFile = queue.advanceInBatch() || (await queue.advance())
    }
    await parts.finish()
    if (crew !== undefined) serve(crew, room)
  } catch (error) {
    await parts.abort()
    throw error
  }
}

/** There is nothing left for this thread, but maybe for the others. */
function serve(crew: BlockCrew, { codec }: PackRoom): void {
  const compressor = codec.compression.openBlockCompressor!()
  try {
    crew.serve(compressor)
  } finally {
    compressor.close()
  }
}
