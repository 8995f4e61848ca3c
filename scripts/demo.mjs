// `npm run demo`: the main job from an empty machine to a restored server, on an embedded PostgreSQL 18.
// Usage: node scripts/demo.mjs [--keep]
import { join } from 'node:path'
import { bun, ensureBuild, root } from './ensure.mjs'
import { run } from './run.mjs'

ensureBuild()
const { status } = run(bun, [join(root, 'demo/demo.ts'), ...process.argv.slice(2)], {
  cwd: root,
  isShown: true,
  timeoutMs: 10 * 60_000,
  env: { ...process.env, WALG_BINARY: join(root, 'dist/wal-g') },
})
process.exitCode = status ?? 1
