/**
 * Blocks of a file that are known to be zero, as runs: first block and count of each, ascending. What is not in a run may be
 * anything: a list may leave out what it likes.
 */
export type ZeroRuns = Uint32Array

/** A file with more holes than this keeps the first ones: lists of blocks are not what a manifest is for. */
export const ZERO_RUNS_MAX = 256

export const NO_ZERO_RUNS: ZeroRuns = new Uint32Array(0)

/** Collects blocks that come in ascending order. */
export class ZeroRunsBuilder {
  readonly #runs = new Uint32Array(2 * ZERO_RUNS_MAX)
  #length = 0

  begin(): void {
    this.#length = 0
  }

  add(block: number): void {
    const last = this.#length - 2
    if (last >= 0 && this.#runs[last]! + this.#runs[last + 1]! === block) {
      this.#runs[last + 1]! += 1
      return
    }
    if (this.#length === this.#runs.length) return
    this.#runs[this.#length] = block
    this.#runs[this.#length + 1] = 1
    this.#length += 2
  }

  /** Those before block `end`: what lies behind is the end of the file's use. */
  before(end: number): ZeroRuns {
    let length = this.#length
    while (length > 0 && this.#runs[length - 2]! >= end) length -= 2
    if (length === 0) return NO_ZERO_RUNS
    const runs = this.#runs.slice(0, length)
    runs[length - 1] = Math.min(runs[length - 1]!, end - runs[length - 2]!)
    return runs
  }
}

/** The runs of `blocks` (ascending) before block `end`. */
export function zeroRunsOf(blocks: Iterable<number>, end: number): ZeroRuns {
  const runs = new ZeroRunsBuilder()
  for (const block of blocks) runs.add(block)
  return runs.before(end)
}

/** Whether all of `blocks` (ascending) that `matters` are in the runs: the first that is not, or undefined. */
export function firstOutside(
  runs: ZeroRuns,
  blocks: Iterable<number>,
  matters: (block: number) => boolean,
): number | undefined {
  let run = 0
  for (const block of blocks) {
    if (!matters(block)) continue
    while (run < runs.length && runs[run]! + runs[run + 1]! <= block) run += 2
    if (run >= runs.length || block < runs[run]!) return block
  }
  return undefined
}

/** The blocks that are zero after `written` ones of those in `runs` are something else and `added` ones are zero, too; all ascending. */
export function* zeroBlocksAfter(
  runs: ZeroRuns,
  written: Uint32Array,
  added: Uint32Array,
): Generator<number> {
  let at = 0
  let more = 0
  for (let run = 0; run < runs.length; run += 2) {
    const stop = runs[run]! + runs[run + 1]!
    for (let block = runs[run]!; block < stop; block++) {
      for (; more < added.length && added[more]! <= block; more++)
        if (added[more]! < block) yield added[more]!
      while (at < written.length && written[at]! < block) at++
      if (at >= written.length || written[at] !== block) yield block
    }
  }
  yield* added.subarray(more)
}
