// `npm run check`: types, lint and format, the import rules and the tidiness of the house.
import { join } from 'node:path'
import { bun, ensureWasm, root } from './ensure.mjs'
import { run } from './run.mjs'

const tool = name => join(root, 'node_modules/.bin', name)

const CHECKS = [
  ['types', tool('tsc'), ['-p', '.']],
  ['lint and format', tool('biome'), ['check', '--error-on-warnings', '--max-diagnostics=50']],
  ['the rules of the house', bun, ['test', '--only-failures', './test/tidy/']],
]

ensureWasm()
let failures = 0
for (const [what, file, args] of CHECKS) {
  const result = run(file, args, { cwd: root })
  console.log(`${result.status === 0 ? 'ok  ' : 'FAIL'} ${what}`)
  if (result.status === 0) continue
  failures += 1
  console.log(`${result.stdout}${result.stderr}`)
}
process.exitCode = failures === 0 ? 0 : 1
