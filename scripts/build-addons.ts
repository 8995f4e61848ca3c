import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { BunPlugin } from 'bun'

const require = createRequire(import.meta.url)

/** `e_machine` of an ELF file, by the name of the processor in a platform such as `linux-x64`. */
const ELF_MACHINES: Readonly<Record<string, number>> = { x64: 0x3e, arm64: 0xb7 }

/**
 * The prebuilt N-API addon of an npm package for a platform such as `linux-x64`; undefined when there is none: the C
 * library musl, or a file that is for another processor than its folder says (that exists).
 */
export function addonFile(name: string, platform: string): string | undefined {
  const folder = path.join(path.dirname(require.resolve(`${name}/package.json`)), 'prebuilds', platform)
  const file = ['node.napi.node', `${name}.node`]
    .map(candidate => path.join(folder, candidate))
    .find(existsSync)
  if (file === undefined) return undefined
  const machine = readFileSync(file).readUInt16LE(18)
  return machine === ELF_MACHINES[platform.split('-')[1] ?? ''] ? file : undefined
}

/**
 * Packages look their addon up at run time (`node-gyp-build`, or a `binding.js` with `require-addon`); in the executable they get a plain require of the
 * file instead, which the compiler embeds. Without an addon the executable is built all the same, and says what it lacks
 * when that is wanted.
 */
export function embedAddons(platform: string, names: readonly string[]): BunPlugin {
  const addons = new Map(names.map(name => [name, addonFile(name, platform)]))
  return {
    name: 'embed-addons',
    setup(build) {
      build.onResolve({ filter: /^node-gyp-build$/ }, ({ importer }) => {
        const name = names.find(candidate => importer.includes(`/node_modules/${candidate}/`))
        if (name === undefined) throw new Error(`${importer} loads an addon that the build does not know`)
        return { path: name, namespace: 'addon' }
      })
      build.onLoad({ filter: /\/node_modules\/[\w-]+\/binding\.js$/ }, ({ path: file }) => {
        const name = path.basename(path.dirname(file))
        if (!names.includes(name)) throw new Error(`${file} loads an addon that the build does not know`)
        const contents = `module.exports = (${addonExpression(name, addons.get(name), platform)})()`
        return { contents, loader: 'js' }
      })
      build.onLoad({ filter: /.*/, namespace: 'addon' }, ({ path: name }) => ({
        contents: `module.exports = ${addonExpression(name, addons.get(name), platform)}`,
        loader: 'js',
      }))
    },
  }
}

function addonExpression(name: string, file: string | undefined, platform: string): string {
  if (file !== undefined) return `() => require(${JSON.stringify(file)})`
  console.log(`${name} has no addon for ${platform}: left out`)
  const message = `this build of wal-g (${platform}) has no ${name.replace(/-native$/, '')}`
  return `() => { throw new Error(${JSON.stringify(message)}) }`
}

/**
 * Addons that are compiled while a package is installed, for which it also has plain code (ssh2: `cpu-features`,
 * `sshcrypto`). Whether the machine of the build has them must not change the executable: they are left out.
 */
export function leaveOutAddons(): BunPlugin {
  return {
    name: 'leave-out-addons',
    setup(build) {
      build.onResolve({ filter: /^cpu-features$|\/sshcrypto\.node$/ }, ({ path: name }) => ({
        path: path.basename(name),
        namespace: 'left-out',
      }))
      build.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path: name }) => ({
        contents: `throw new Error(${JSON.stringify(`${name} is left out`)})`,
        loader: 'js',
      }))
    },
  }
}
