// Builds src/<room>/assembly/*.ts (AssemblyScript) into src/<room>/*.wasm, each only when it is stale; folders
// below hold what they import.
// A source that mentions ASC_FEATURE_SIMD is also built without SIMD, as <name>-scalar.wasm, for CPUs on which
// the runtime offers no vectors. Plain Node; usage: node scripts/build-wasm.mjs [--force]
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const commonFlags = ['-O3', '--runtime', 'stub', '--noAssert', '--importMemory', '--use', 'abort=']

/** Every module to build: { source, target, flags }. */
function listModules() {
  const modules = []
  for (const entry of readdirSync(join(root, 'src'), { withFileTypes: true, recursive: true })) {
    const folder = entry.parentPath ?? entry.path
    if (!entry.isFile() || basename(folder) !== 'assembly' || !entry.name.endsWith('.ts')) continue
    const source = join(folder, entry.name)
    const stem = join(dirname(folder), entry.name.slice(0, -'.ts'.length))
    modules.push({ source, target: `${stem}.wasm`, flags: ['--enable', 'simd'] })
    if (readFileSync(source, 'utf8').includes('ASC_FEATURE_SIMD')) {
      modules.push({ source, target: `${stem}-scalar.wasm`, flags: ['--disable', 'simd'] })
    }
  }
  return modules
}

function isStale({ source, target }) {
  const built = statSync(target, { throwIfNoEntry: false })
  if (built === undefined) return true
  const inputs = [fileURLToPath(import.meta.url), join(root, 'node_modules/assemblyscript/package.json')]
  for (const name of readdirSync(dirname(source), { recursive: true }))
    inputs.push(join(dirname(source), name))
  return inputs.some(input => statSync(input).mtimeMs > built.mtimeMs)
}

async function build({ source, target, flags }) {
  const { default: asc } = await import('assemblyscript/asc')
  const draft = `${target}.${process.pid}`
  const options = [relative(root, source), '--outFile', relative(root, draft), ...commonFlags, ...flags]
  try {
    const { error, stderr } = await asc.main([...options, '--baseDir', root])
    if (error) throw new Error(`${relative(root, source)} does not compile\n${stderr.toString()}`)
    renameSync(draft, target)
  } finally {
    rmSync(draft, { force: true })
  }
  console.log(`built ${relative(root, target)} (${statSync(target).size} bytes)`)
}

const isForced = process.argv.includes('--force')
for (const module of listModules()) if (isForced || isStale(module)) await build(module)
