import { expect, test } from 'bun:test'
import { hasOnlyLocalMounts } from './local-mounts.ts'

const ROOT = '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw'
const PROC = '23 22 0:21 / /proc rw shared:2 - proc proc rw'
const AUTOMOUNT = '24 23 0:30 / /proc/sys/fs/binfmt_misc rw shared:3 - autofs systemd-1 rw'

test('a machine with local disks and what every system mounts has only local mounts', () => {
  expect(hasOnlyLocalMounts([ROOT, PROC, AUTOMOUNT, ''].join('\n'))).toBe(true)
})

test('one mount of a server, of another process or of an unknown kind is enough to say no', () => {
  for (const type of ['nfs4', 'cifs', 'fuse.sshfs', 'ceph', 'autofs', 'virtiofs', 'tomorrowfs']) {
    const mount = `30 22 0:40 / /srv/backup rw shared:9 - ${type} host:/export rw`
    expect([type, hasOnlyLocalMounts([ROOT, PROC, mount].join('\n'))]).toEqual([type, false])
  }
})

test('a mount point with a name like a system folder is not one', () => {
  expect(hasOnlyLocalMounts(`${ROOT}\n30 22 0:40 / /running rw - nfs4 host:/export rw`)).toBe(false)
})

test('a system that does not tell is not taken for local', () => {
  expect(hasOnlyLocalMounts('')).toBe(false)
})
