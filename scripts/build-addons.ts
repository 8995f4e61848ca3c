import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { BunPlugin } from 'bun'

const require = createRequire(import.meta.url)

/** The prebuilt N-API addon of an npm package for a platform such as `linux-x64`. */
export function addonFile(name: string, platform: string): string {
  const folder = path.dirname(require.resolve(`${name}/package.json`))
  const file = path.join(folder, 'prebuilds', platform, 'node.napi.node')
  if (!existsSync(file)) throw new Error(`${name} has no prebuilt addon for ${platform}`)
  return file
}

/**
 * Packages look their addon up at run time (`node-gyp-build`); in the executable they get a plain require of the
 * file instead, which the compiler embeds.
 */
export function embedAddons(addons: Readonly<Record<string, string>>): BunPlugin {
  return {
    name: 'embed-addons',
    setup(build) {
      build.onResolve({ filter: /^node-gyp-build$/ }, ({ importer }) => {
        const name = Object.keys(addons).find(candidate => importer.includes(`/node_modules/${candidate}/`))
        if (name === undefined) throw new Error(`${importer} loads an addon that the build does not know`)
        return { path: name, namespace: 'addon' }
      })
      build.onLoad({ filter: /.*/, namespace: 'addon' }, ({ path: name }) => ({
        contents: `module.exports = () => require(${JSON.stringify(addons[name])})`,
        loader: 'js',
      }))
    },
  }
}
