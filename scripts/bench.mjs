// `npm run bench`: how fast and how small, beside the peers that are installed. `npm run bench -- --help` says what can be chosen.
import { join } from 'node:path'
import { bun, ensureBuild, root } from './ensure.mjs'
import { run } from './run.mjs'

ensureBuild()
const { status } = run(bun, [join(root, 'bench/bench.ts'), ...process.argv.slice(2)], {
  cwd: root,
  isShown: true,
})
process.exitCode = status
