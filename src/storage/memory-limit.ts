import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const LIMIT_BYTES_MAX = 512 * 1024 * 1024
const LIMIT_BYTES_MIN = 16 * 1024 * 1024
const SHARE_OF_GROUP = 8

type ReadText = (path: string) => string

/** WALG_MEMORY_LIMIT by default: the smaller of 512 MiB and an eighth of what the control group of the process may use. */
export function defaultMemoryLimitBytes(read: ReadText = readText): number {
  const share = Math.floor(groupLimitBytes(read) / SHARE_OF_GROUP)
  return Math.max(LIMIT_BYTES_MIN, Math.min(LIMIT_BYTES_MAX, share))
}

/** The lowest limit of the process's own group and those above it, version 1 or 2; Infinity when there is none. */
function groupLimitBytes(read: ReadText): number {
  const limits: number[] = []
  for (const line of attempt(read, '/proc/self/cgroup').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined || controllers === undefined) continue
    const isVersion2 = controllers === ''
    if (!isVersion2 && !controllers.split(',').includes('memory')) continue
    const [root, file] = isVersion2
      ? ['/sys/fs/cgroup', 'memory.max']
      : ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes']
    for (let folder = path; ; folder = dirname(folder)) {
      const text = attempt(read, join(root, folder, file)).trim()
      if (/^\d+$/.test(text)) limits.push(Number(text))
      if (folder === '/') break
    }
  }
  return Math.min(Number.POSITIVE_INFINITY, ...limits)
}

/** What cannot be read sets no limit: another system, a container that hides it. */
function attempt(read: ReadText, path: string): string {
  try {
    return read(path)
  } catch {
    return ''
  }
}

function readText(path: string): string {
  return readFileSync(path, 'utf8')
}
