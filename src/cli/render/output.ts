import { writeSync } from 'node:fs'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'

const STDOUT = 1

/**
 * Writes to stdout and resolves when the reader has it. A reader that went away (EPIPE) ends the output
 * quietly; a full pipe is waited for as long as the reader takes, unless `signal` aborts.
 */
export function createPrinter(signal?: AbortSignal): (text: string | Uint8Array) => Promise<void> {
  let isGone = false
  return async text => {
    let rest: Uint8Array = typeof text === 'string' ? Buffer.from(text) : text
    while (rest.length > 0 && !isGone) {
      try {
        rest = rest.subarray(writeSync(STDOUT, rest))
      } catch (error) {
        const errno = errnoOf(error)
        if (errno === 'EPIPE') isGone = true
        else if (errno !== 'EAGAIN') throw fromSystemError(error, 'write to', 'stdout')
        else {
          signal?.throwIfAborted()
          await new Promise(resolve => setTimeout(resolve, 2))
        }
      }
    }
  }
}
