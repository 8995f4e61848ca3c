import { readFileSync } from 'node:fs'

/**
 * Tells this process from every other one that has or will have its number: `<pid> <start in clock ticks since boot> <boot>`.
 * Undefined where the kernel does not say (no `/proc`).
 */
export function ownIdentity(): string | undefined {
  return identityOf(process.pid)
}

/** True, too, when it cannot be told. */
export function mayBeRunning(identity: string): boolean {
  const own = ownIdentity()
  if (own === undefined) return true
  const pid = Number(identity.split(' ', 1)[0])
  return Number.isSafeInteger(pid) && pid > 0 && identityOf(pid) === identity
}

function identityOf(pid: number): string | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // the name of the program, in parentheses, may hold anything
    const fields = status.slice(status.lastIndexOf(')') + 2).split(' ')
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const start = fields[START_FIELD]
    return start === undefined ? undefined : `${pid} ${start} ${boot}`
  } catch {
    return undefined
  }
}

/** `starttime`, the 22nd, counted behind the name. */
const START_FIELD = 19
