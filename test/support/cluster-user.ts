import { chmodSync, chownSync, statSync } from 'node:fs'
import path from 'node:path'

export interface UserIds {
  readonly uid: number
  readonly gid: number
}

const isRoot = process.getuid?.() === 0

/** Who runs PostgreSQL here: `nobody` when the tests run as root (initdb refuses root), else ourselves. */
export const clusterUser: UserIds = isRoot
  ? { uid: 65534, gid: 65534 }
  : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

/** Options for `spawn` that make a process run as the cluster's user. */
export const asClusterUser: Partial<UserIds> = isRoot ? clusterUser : {}

/** Gives one file or folder to the cluster's user. */
export function giveToClusterUser(file: string, mode?: number): void {
  if (isRoot) chownSync(file, clusterUser.uid, clusterUser.gid)
  if (mode !== undefined) chmodSync(file, mode)
}

/** False when a folder above `file` (a checkout below a 0700 home, say) keeps the cluster's user out. */
export function isReachableByClusterUser(file: string): boolean {
  if (!isRoot) return true
  for (let folder = path.dirname(path.resolve(file)); ; folder = path.dirname(folder)) {
    const { mode, uid } = statSync(folder)
    const execute = uid === clusterUser.uid ? 0o100 : 0o001
    if ((mode & execute) === 0) return false
    if (folder === path.dirname(folder)) return true
  }
}
