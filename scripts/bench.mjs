// `npm run bench`: how fast and how small, beside the peers that are installed. `npm run bench -- --help` says what can be chosen.
import { join } from 'node:path'
import { bun, ensureBuild, root } from './ensure.mjs'
import { run } from './run.mjs'

ensureBuild()
const args = process.argv.slice(2)
const at = args.findIndex(each => each.startsWith('--storage'))
const isS3 = at >= 0 && (args[at] === '--storage=s3' || args[at + 1] === 's3')
const { status } = run(bun, [join(root, isS3 ? 'bench/s3.ts' : 'bench/bench.ts'), ...args], {
  cwd: root,
  isShown: true,
})
process.exitCode = status
