import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { BunPlugin } from 'bun'

/** Where the compiler puts the files of an executable. */
const EMBEDDED_ROOT = 'file:///$bunfs/root'
const WORKER_URL = /new URL\(\s*(['"])(\.{1,2}\/[^'"]*-worker\.ts)\1,\s*import\.meta\.url,?\s*\)/g

/** Every `…-worker.ts` below `source`: an entry point of its own in the executable. */
export function findWorkers(source: string): string[] {
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('-worker.ts'))
    .sort()
    .map(file => path.join(source, file))
}

/** The embedded address of the worker that `from` names with `relative`. */
function embeddedUrl(source: string, from: string, relative: string): string {
  const file = path.relative(source, path.resolve(path.dirname(from), relative))
  return `${EMBEDDED_ROOT}/${file.replaceAll(path.sep, '/').replace(/\.ts$/, '.js')}`
}

/**
 * `new URL('./x-worker.ts', import.meta.url)` is right beside the sources; in the executable all modules share the
 * address of their chunk, so the addresses of workers are written out.
 */
export function rewriteWorkerUrls(source: string): BunPlugin {
  return {
    name: 'worker-urls',
    setup(build) {
      build.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path: file }) => {
        const text = readFileSync(file, 'utf8')
        const contents = text.replace(
          WORKER_URL,
          (_match, _quote, relative: string) =>
            `new URL(${JSON.stringify(embeddedUrl(source, file, relative))})`,
        )
        if (/-worker\.ts['"]\s*,\s*import\.meta\.url/.test(contents)) {
          throw new Error(`${file}: write new URL('./x-worker.ts', import.meta.url) for a worker`)
        }
        return { contents, loader: 'ts' }
      })
    },
  }
}
