/**
 * Notices a thread that hangs in a blocking call. A thread cannot interrupt its own `write`; but it can say,
 * in shared memory, that it goes in and that it came out, and another thread can look.
 */
export interface StallSlot {
  /** A blocking call begins. `label` says what is being done, for the error message. */
  enter(label: StallLabel): void
  /** It came back. */
  leave(): void
}

/** Text prepared once, not per call. */
export type StallLabel = Uint8Array

/** Where a thread reports; plain data that can be sent to a worker. */
export interface StallSlotDescription {
  readonly shared: SharedArrayBuffer
  readonly slot: number
}

export interface StallWatchOptions {
  readonly timeoutMs: number
  /** Called once per stall with the label and the slot of the hanging call. */
  readonly onStall: (label: string, slot: number) => void
}

const SLOT_BYTES = 2048
const LABEL_OFFSET = 8

/** Shared memory for `slots` threads. */
export function createStallSlots(slots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(slots * SLOT_BYTES)
}

/** Encodes a label; cut when longer than a slot holds. */
export function stallLabel(text: string): StallLabel {
  return new TextEncoder().encode(text).subarray(0, SLOT_BYTES - LABEL_OFFSET)
}

/** A thread's own slot. Two atomic additions per call; the label is copied only when it changes. */
export function openStallSlot(description: StallSlotDescription): StallSlot {
  const base = description.slot * SLOT_BYTES
  const state = new Int32Array(description.shared, base, 2)
  const text = new Uint8Array(description.shared, base + LABEL_OFFSET, SLOT_BYTES - LABEL_OFFSET)
  let current: StallLabel | undefined
  return {
    enter(label) {
      if (label !== current) {
        text.set(label)
        Atomics.store(state, 1, label.length)
        current = label
      }
      Atomics.add(state, 0, 1)
    },
    leave() {
      Atomics.add(state, 0, 1)
    },
  }
}

/**
 * Watches all slots from a thread that never blocks. The returned function ends the watch. A call counts as
 * hanging when the same call (an odd count) is still under way after `timeoutMs`.
 */
export function watchStalls(shared: SharedArrayBuffer, options: StallWatchOptions): () => void {
  const slots = shared.byteLength / SLOT_BYTES
  const seen = new Int32Array(slots)
  const sinceMs = new Float64Array(slots).fill(performance.now())
  const look = (): void => {
    const nowMs = performance.now()
    for (let slot = 0; slot < slots; slot++) {
      const count = Atomics.load(new Int32Array(shared, slot * SLOT_BYTES, 1), 0)
      if (count !== seen[slot] || count % 2 === 0) {
        seen[slot] = count
        sinceMs[slot] = nowMs
      } else if (nowMs - (sinceMs[slot] ?? nowMs) >= options.timeoutMs) {
        sinceMs[slot] = Number.POSITIVE_INFINITY
        options.onStall(readLabel(shared, slot), slot)
      }
    }
  }
  const timer = setInterval(look, Math.max(1, Math.min(1000, options.timeoutMs / 8)))
  timer.unref?.()
  return () => clearInterval(timer)
}

function readLabel(shared: SharedArrayBuffer, slot: number): string {
  const base = slot * SLOT_BYTES
  const length = Atomics.load(new Int32Array(shared, base, 2), 1)
  return new TextDecoder().decode(new Uint8Array(shared, base + LABEL_OFFSET, length).slice())
}
