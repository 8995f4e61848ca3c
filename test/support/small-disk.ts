import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { SkipReason } from './skip.ts'

const MOUNT = 'mount -t tmpfs -o "size=$1,mode=755" none "$2" && shift 2 && exec "$@"'

export interface SmallDiskResult {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a command in a mount namespace of its own, where `directory` (made when missing) is a file system of
 * `sizeBytes`. Needs no root; the file system is gone when the command ends.
 */
export function runOnSmallDisk(
  directory: string,
  sizeBytes: number,
  command: readonly string[],
): SmallDiskResult {
  mkdirSync(directory, { recursive: true })
  const args = ['-Urm', 'sh', '-c', MOUNT, 'sh', String(sizeBytes), directory, ...command]
  const { status, stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 120_000 })
  return { status, stdout, stderr }
}

/** The reason to skip where users may not make mount namespaces. */
export function missingSmallDisk(): SkipReason {
  const probe = spawnSync(
    'unshare',
    ['-Urm', 'sh', '-c', 'mount -t tmpfs -o size=64k none "$1"', 'sh', tmpdir()],
    {
      encoding: 'utf8',
    },
  )
  return probe.status === 0 ? undefined : 'mount namespaces are not allowed here'
}
