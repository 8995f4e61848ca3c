import type { Awaitable, ByteSource } from '../kit/bytes.ts'
import { assert } from '../kit/errors.ts'
import type { LinearMemory } from '../kit/linear-memory.ts'
import type { Steps } from './steps.ts'

const CAPACITY_BYTES = 65_536
/** Decompressors read in steps of 16 and may look past the end. */
const SLACK_BYTES = 64
/** So little is moved to the front before every read: the same memory is used again, the rest is never touched. */
const CHEAP_MOVE_BYTES = 4096

/** The stored side of a reader: a window onto the source that lies in linear memory. */
export interface StoredInput {
  /** Address of the first byte that has not been consumed. */
  readonly at: number
  /** Bytes there are at `at`. */
  readonly count: number
  /** Stored bytes consumed so far: where in the object a failure is. */
  readonly consumedBytes: number
  /**
   * Waits until `wantedBytes` are there and returns how many are: fewer only at the end of the source. Reads no
   * further than `reachBytes`. Moves what is there when room is short: `at` and views change.
   */
  fill(wantedBytes: number, reachBytes?: number): Steps<number>
  /** Makes the window wide enough for `fill(wideBytes)`; 64 KiB at first. */
  widen(wideBytes: number): void
  consume(countBytes: number): void
  close(): Awaitable<void>
}

/** Opens the window; closing it closes the source. */
export function openStoredInput(source: ByteSource, memory: LinearMemory): StoredInput {
  let capacityBytes = CAPACITY_BYTES
  let area = memory.allocate(capacityBytes + SLACK_BYTES)
  let at = area
  let end = area
  let consumedBytes = 0
  let isOpen = true

  const moveTo = (target: number): void => {
    memory.bytes.copyWithin(target, at, end)
    end = target + (end - at)
    at = target
  }

  return {
    get at(): number {
      return at
    },
    get count(): number {
      return end - at
    },
    get consumedBytes(): number {
      return consumedBytes
    },
    *fill(wantedBytes: number, reachBytes: number = wantedBytes): Steps<number> {
      if (end - at >= wantedBytes) return end - at
      const furthestBytes = Math.max(wantedBytes, reachBytes)
      assert(furthestBytes <= capacityBytes, 'the window is wide enough')
      if (end - at <= CHEAP_MOVE_BYTES || at + furthestBytes > area + capacityBytes) moveTo(area)
      const limit = at + furthestBytes
      while (end - at < wantedBytes) {
        const got = (yield source.read(memory.bytes.subarray(end, limit))) as number
        if (got === 0) break
        end += got
      }
      return end - at
    },
    widen(wideBytes: number): void {
      if (wideBytes <= capacityBytes) return
      const wider = memory.allocate(wideBytes + SLACK_BYTES)
      moveTo(wider)
      memory.release(area, capacityBytes + SLACK_BYTES)
      area = wider
      capacityBytes = wideBytes
    },
    consume(countBytes: number): void {
      at += countBytes
      consumedBytes += countBytes
    },
    close(): Awaitable<void> {
      if (!isOpen) return
      isOpen = false
      memory.release(area, capacityBytes + SLACK_BYTES)
      return source.close()
    },
  }
}
