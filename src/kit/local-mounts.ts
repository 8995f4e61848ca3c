import { readFileSync } from 'node:fs'

/** File systems of this kernel on disks and memory of this machine: none waits for a server or another process. */
const LOCAL_TYPES: ReadonlySet<string> = new Set([
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'zfs',
  'f2fs',
  'jfs',
  'reiserfs',
  'vfat',
  'squashfs',
  'erofs',
  'iso9660',
  'overlay',
  'tmpfs',
  'ramfs',
])
/** Where the system keeps what is no storage; some of it is a FUSE mount or an automounter on any machine. */
const SYSTEM_MOUNT = /^\/(?:proc|sys|dev|run)(?:\/|$)/

/**
 * Whether every file system that a path could lead to is a local one, so that calls which only read or change what the
 * kernel has cached cannot hang on somebody else. A single network or FUSE mount anywhere says no: links and mounts
 * inside a repository need not be followed to know. False where the system does not tell.
 */
export function hasOnlyLocalMounts(mountInfo: string = readMountInfo()): boolean {
  const lines = mountInfo.split('\n').filter(line => line !== '')
  return lines.length > 0 && lines.every(isHarmless)
}

function isHarmless(line: string): boolean {
  const mountPoint = line.split(' ', 5)[4] ?? ''
  const type = / - (\S+) /.exec(line)?.[1] ?? ''
  return LOCAL_TYPES.has(type) || SYSTEM_MOUNT.test(mountPoint)
}

function readMountInfo(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return ''
  }
}
