import type { TimelineId } from '../postgres/wal-segment.ts'

/** Numbers of archived segments by timeline: eight bytes each, where a Set of bigints takes a hundred. */
export class SegmentSet {
  readonly #byTimeline = new Map<TimelineId, { numbers: BigUint64Array; count: number; isSorted: boolean }>()

  add(timeline: TimelineId, number: bigint): void {
    let known = this.#byTimeline.get(timeline)
    if (known === undefined) {
      known = { numbers: new BigUint64Array(1024), count: 0, isSorted: true }
      this.#byTimeline.set(timeline, known)
    }
    if (known.count === known.numbers.length) {
      const larger = new BigUint64Array(2 * known.count)
      larger.set(known.numbers)
      known.numbers = larger
    }
    known.isSorted &&= known.count === 0 || known.numbers[known.count - 1]! < number
    known.numbers[known.count] = number
    known.count += 1
  }

  /** In ascending order. */
  get timelines(): readonly TimelineId[] {
    return [...this.#byTimeline.keys()].sort((left, right) => left - right)
  }

  /** The numbers of one timeline, each once, in ascending order; lent until the next `add`. */
  sorted(timeline: TimelineId): BigUint64Array {
    const known = this.#byTimeline.get(timeline)
    if (known === undefined) return new BigUint64Array(0)
    if (!known.isSorted) {
      const numbers = known.numbers.subarray(0, known.count).sort()
      // one segment may be there in several forms
      known.count = numbers.reduce<number>((kept, number, at) => {
        if (at > 0 && number === numbers[kept - 1]) return kept
        numbers[kept] = number
        return kept + 1
      }, 0)
      known.isSorted = true
    }
    return known.numbers.subarray(0, known.count)
  }

  has(timeline: TimelineId, number: bigint): boolean {
    const numbers = this.sorted(timeline)
    let [from, to] = [0, numbers.length]
    while (from < to) {
      const middle = (from + to) >>> 1
      if (numbers[middle]! < number) from = middle + 1
      else to = middle
    }
    return numbers[from] === number
  }
}
