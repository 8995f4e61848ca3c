// `npm run demo`: archive, back up, lose the server, restore to a point in time; on a real PostgreSQL 18.
// Usage: node scripts/demo.mjs [--keep]   (--keep leaves the directory for looking around)
import { join } from 'node:path'
import { bun, ensureBuild, root } from './ensure.mjs'
import { run } from './run.mjs'

ensureBuild()
const { status } = run(bun, [join(root, 'demo/demo.ts'), ...process.argv.slice(2)], {
  cwd: root,
  isShown: true,
})
process.exitCode = status
