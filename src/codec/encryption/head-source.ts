import type { Awaitable, ByteSource } from '../../kit/bytes.ts'

/** The first `countBytes` of a source (fewer when it is shorter), and a source that still gives them. */
export function readHead(
  source: ByteSource,
  countBytes: number,
): Awaitable<{ readonly head: Uint8Array; readonly whole: ByteSource }> {
  const head = new Uint8Array(countBytes)
  let filled = 0
  const fill = (): Awaitable<void> => {
    while (filled < countBytes) {
      const got = source.read(head.subarray(filled))
      if (got instanceof Promise) return got.then(count => (take(count) ? fill() : undefined))
      if (!take(got)) return
    }
  }
  const take = (count: number): boolean => {
    filled += count
    return count > 0
  }
  const result = (): { head: Uint8Array; whole: ByteSource } => {
    const bytes = head.subarray(0, filled)
    return { head: bytes, whole: withHead(bytes, source) }
  }
  const filling = fill()
  return filling instanceof Promise ? filling.then(result) : result()
}

/** A source that gives `head` first. */
export function withHead(head: Uint8Array, source: ByteSource): ByteSource {
  let at = 0
  return {
    read(into: Uint8Array): Awaitable<number> {
      if (at === head.length) return source.read(into)
      const count = Math.min(into.length, head.length - at)
      into.set(head.subarray(at, at + count))
      at += count
      return count
    },
    close: () => source.close(),
  }
}
