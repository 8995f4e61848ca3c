import { expect, test } from 'bun:test'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { giveToClusterUser } from '../support/cluster-user.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { runWalg } from '../support/walg.ts'

test('a path that wal-push cannot look at is an ordinary error, not a mistake of the program', async () => {
  using place = tempDirectory('wal-push-path')
  giveToClusterUser(place.path, 0o755)
  const name = segmentName(1)
  const closed = place.at('closed')
  mkdirSync(closed, 0o700)
  // root keeps its folder from the cluster's user; anybody else closes it for himself
  chmodSync(closed, process.getuid?.() === 0 ? 0o700 : 0)
  using stack = new DisposableStack()
  stack.defer(() => chmodSync(closed, 0o700))
  symlinkSync(place.at('loop'), place.at('loop'))
  writeFileSync(place.at(name), walBytes(name))
  mkdirSync(place.at('archive'))
  const env = { WALG_FILE_PREFIX: place.at('archive') }
  for (const [target, reason] of [
    [path.join(closed, name), 'permission denied'],
    [`${place.at(name)}/`, 'ENOTDIR'],
    [place.at('x'.repeat(300)), 'ENAMETOOLONG'],
    [place.at('loop'), 'ELOOP'],
    [place.at('missing'), 'no such file'],
  ] as const) {
    const run = await runWalg(['wal-push', target], { env, asClusterUser: true })
    expect([target, run.exit, run.stderr]).toEqual([
      target,
      1,
      expect.stringMatching(/^ERROR: .*unable to /m),
    ])
    expect(run.stderr).toContain(reason)
    expect(run.stderr).not.toContain('internal error')
  }
})
