import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export const projectRoot: string = path.resolve(import.meta.dir, '../..')

/** Files of the project below `folder` (those that git does not ignore), relative to the root, sorted. */
export function listFiles(folder = '.'): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', folder]
  const git = spawnSync('git', args, { cwd: projectRoot, encoding: 'utf8' })
  const names =
    git.status === 0
      ? git.stdout.split('\0').filter(Boolean)
      : readdirSync(path.join(projectRoot, folder), { recursive: true, encoding: 'utf8' }).map(name =>
          path.join(folder, name),
        )
  return [...new Set(names)].filter(name => readText(name) !== undefined).sort()
}

const texts = new Map<string, string | undefined>()

/** The text of a file; undefined when it is gone, a folder, or binary. */
export function readText(file: string): string | undefined {
  if (!texts.has(file)) {
    let text: string | undefined
    try {
      text = readFileSync(path.join(projectRoot, file), 'utf8')
      if (text.includes('\0')) text = undefined
    } catch {
      text = undefined
    }
    texts.set(file, text)
  }
  return texts.get(file)
}

/** TypeScript with comments blanked, and strings too when asked; line ends stay. */
export function codeOf(text: string, options: { readonly withoutStrings?: boolean } = {}): string {
  const token = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`/g
  return text.replace(token, match => {
    const isComment = match.startsWith('//') || match.startsWith('/*')
    if (!isComment && options.withoutStrings !== true) return match
    const lines = match.replace(/[^\n]/g, '')
    return isComment ? lines : `''${lines}`
  })
}

/** Sources of the program: TypeScript below src/ without tests and without AssemblyScript. */
export function listSources(): string[] {
  return listFiles('src').filter(
    file => file.endsWith('.ts') && !/\.test\.ts$|\.d\.ts$|\/assembly\//.test(file),
  )
}
