export interface SeededRandom {
  readonly seed: number
  /** A whole number from 0 to `below - 1`. */
  int(below: number): number
  /** Incompressible bytes. */
  bytes(count: number): Uint8Array
  pick<T>(items: readonly T[]): T
}

const DEFAULT_SEED = 20_261_122

/** The seed of this run: SEED from the environment, else a fixed one. */
export const seed: number = Number(process.env['SEED'] ?? DEFAULT_SEED) >>> 0

let isSeedPrinted = false

/** Random values that are the same in every run with the same SEED; `salt` keeps two users of it apart. */
export function seededRandom(salt = ''): SeededRandom {
  if (!isSeedPrinted) {
    isSeedPrinted = true
    console.log(`SEED=${seed}`)
  }
  let state = seed
  for (const char of salt) state = (Math.imul(state, 31) + char.charCodeAt(0)) >>> 0
  const next = (): number => {
    // splitmix32
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
  const int = (below: number): number => Math.floor((next() / 2 ** 32) * below)
  return {
    seed,
    int,
    bytes: count => {
      const words = new Uint32Array(Math.ceil(count / 4))
      for (let at = 0; at < words.length; at++) words[at] = next()
      return new Uint8Array(words.buffer, 0, count)
    },
    pick: items => items[int(items.length)]!,
  }
}
