import { spawnSync } from 'node:child_process'
import { type CommandLine, peakMemory, type Reading, time } from './measure.ts'

export interface Contender {
  readonly name: string
  readonly command: CommandLine
  /** Puts the place in order before every run; not timed. */
  readonly prepare?: () => void
  /** Bytes that the run has left in its repository. */
  readonly storedBytes?: () => number
}

export interface Standing {
  readonly name: string
  readonly readings: readonly Reading[]
  readonly peakBytes: number
  readonly storedBytes: number | undefined
}

/**
 * Runs the contenders in turn (A B C A B C …), `runs` times, after one round that warms the page cache and measures
 * memory. What earlier runs have left to be written is written before the clock starts.
 */
export async function compete(
  title: string,
  contenders: readonly Contender[],
  runs: number,
): Promise<Standing[]> {
  const readings = contenders.map((): Reading[] => [])
  const peaks: number[] = []
  const stored: (number | undefined)[] = []
  for (const contender of contenders) {
    contender.prepare?.()
    peaks.push(await peakMemory(contender.command))
    stored.push(contender.storedBytes?.())
  }
  for (let round = 1; round <= runs; round++) {
    process.stderr.write(`${title}: round ${round} of ${runs}\n`)
    for (const [index, contender] of contenders.entries()) {
      contender.prepare?.()
      spawnSync('sync')
      readings[index]!.push(time(contender.command))
    }
  }
  return contenders.map(({ name }, index) => ({
    name,
    readings: readings[index]!,
    peakBytes: peaks[index]!,
    storedBytes: stored[index],
  }))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Median and range of the ratios of pairs: run by run, what `of` took against what `to` took beside it. */
export function ratioOf(of: Standing, to: Standing, what: keyof Reading): string {
  const ratios = of.readings.map((reading, run) => reading[what] / to.readings[run]![what])
  const [least, most] = [Math.min(...ratios), Math.max(...ratios)].map(ratio => ratio.toFixed(2))
  return `${median(ratios).toFixed(2)} [${least}-${most}]`
}
