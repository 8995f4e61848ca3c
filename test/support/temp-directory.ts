import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { giveToClusterUser } from './cluster-user.ts'
import { cleanUpAtEnd } from './leftovers.ts'

export interface TempDirectory extends Disposable {
  readonly path: string
  /** `path` joined with names. */
  at(...names: string[]): string
  remove(): void
}

/** A new directory that this user and the cluster's user can both write to; removed by `using`, or after the file's tests. */
export function tempDirectory(name = 'test'): TempDirectory {
  const directory = realpathSync(mkdtempSync(path.join(tmpdir(), `wal-g-${name}-`)))
  giveToClusterUser(directory, 0o755)
  const remove = (): void => {
    rmSync(directory, { recursive: true, force: true })
    keep()
  }
  const keep = cleanUpAtEnd(remove)
  return {
    path: directory,
    at: (...names) => path.join(directory, ...names),
    remove,
    [Symbol.dispose]: remove,
  }
}
