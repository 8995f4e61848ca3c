/** Lets at most `atOnceMax` of the given actions run at a time, in the order they were asked for. */
export function takeTurns(atOnceMax: number): <T>(action: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async action => {
    if (running >= atOnceMax) await new Promise<void>(resolve => waiting.push(resolve))
    else running += 1
    try {
      return await action()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
