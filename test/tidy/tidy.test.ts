import { describe, expect, test } from 'bun:test'
import path from 'node:path'
import { listFiles, readText } from './source-tree.ts'

const FILE_LINES_MAX = 450
const FOLDER_ENTRIES_MAX = 24
/** Folders that hold a collection of peers may be long. */
const PEERS =
  /^(src\/cli\/commands|src\/storage\/(drivers|layers)|src\/codec\/(compression|encryption)|src\/operations|docs\/.*|test\/\w+)$/
const FORBIDDEN_NAMES = [
  'util',
  'utils',
  'helper',
  'helpers',
  'manager',
  'handler',
  'common',
  'misc',
  'new',
  'data',
]

const files = listFiles()
const scripts = files.filter(file => /\.(ts|mjs)$/.test(file))

interface PackageFile {
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

function dependencies(): [name: string, version: string][] {
  const file = JSON.parse(readText('package.json') ?? '{}') as PackageFile
  return Object.entries({ ...file.dependencies, ...file.devDependencies, ...file.optionalDependencies })
}

describe('the tree', () => {
  test(`no file of code is longer than ${FILE_LINES_MAX} lines`, () => {
    const long = scripts
      .map(file => `${file}: ${readText(file)!.split('\n').length - 1}`)
      .filter(line => Number(line.split(': ')[1]) > FILE_LINES_MAX)
    expect(long).toEqual([])
  })

  test(`no folder of code has more than ${FOLDER_ENTRIES_MAX} entries, tests aside`, () => {
    const folders = new Map<string, Set<string>>()
    for (const file of files.filter(name => /^(src|test|scripts|bench)\//.test(name))) {
      if (file.endsWith('.test.ts')) continue
      for (let at = file; path.dirname(at) !== '.'; at = path.dirname(at)) {
        const folder = path.dirname(at)
        folders.set(folder, (folders.get(folder) ?? new Set()).add(path.basename(at)))
      }
    }
    const crowded = [...folders]
      .filter(([folder, entries]) => entries.size > FOLDER_ENTRIES_MAX && !PEERS.test(folder))
      .map(([folder, entries]) => `${folder}: ${entries.size}`)
    expect(crowded).toEqual([])
  })

  test('files of code have kebab-case names that say what they are about', () => {
    const isBad = (file: string): boolean => {
      const stem = path.basename(file).replace(/(\.test|\.d)?\.(ts|mjs)$/, '')
      const words = stem.split(/[.-]/)
      return !/^[a-z0-9]+([.-][a-z0-9]+)*$/.test(stem) || FORBIDDEN_NAMES.includes(words.at(-1)!)
    }
    expect(scripts.filter(isBad)).toEqual([])
  })

  test('no exported class, type or function is named after nothing', () => {
    const nothing =
      /\bexport\s+(?:abstract\s+)?(?:class|interface|type|function)\s+(\w*(?:Util|Utils|Helper|Manager|Handler|Misc))\b/g
    const found = scripts.flatMap(file =>
      [...readText(file)!.matchAll(nothing)].map(match => `${file}: ${match[1]}`),
    )
    expect(found).toEqual([])
  })

  test('no file names a machine, a home directory or a package registry', () => {
    const patterns = [
      /(?<![\w.$}*])\/(work|home\/[a-z]\w+|Users)\/\w/,
      /registry\.(npmjs|yarnpkg)\./,
      /"resolved":/,
      /\b(localhost|127\.0\.0\.1):4873\b/,
    ]
    const isExempt = (file: string): boolean => file === 'test/tidy/tidy.test.ts'
    const found = files
      .filter(file => !isExempt(file))
      .flatMap(file =>
        patterns
          .map(pattern => pattern.exec(readText(file)!)?.[0])
          .filter(match => match !== undefined)
          .map(match => `${file}: ${match}`),
      )
    expect(found).toEqual([])
  })
})

describe('dependencies', () => {
  test('are pinned exactly', () => {
    const isExact = (version: string): boolean => /^(npm:@?[\w./-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)
    expect(dependencies().filter(([, version]) => !isExact(version))).toEqual([])
  })

  test('have an entry in docs/decisions that says why', () => {
    const entries = files.filter(file => file.startsWith('docs/decisions/')).map(file => readText(file)!)
    const named = new Set(
      entries.flatMap(text =>
        [...text.matchAll(/^Packages?: (.*)$/gm)].flatMap(match => match[1]!.split(', ')),
      ),
    )
    const missing = dependencies()
      .map(([name]) => name)
      .filter(name => !named.has(`\`${name}\``))
    expect(missing).toEqual([])
  })

  test('are in use: every entry names a package that is there', () => {
    const present = new Set(dependencies().map(([name]) => `\`${name}\``))
    const named = files
      .filter(file => file.startsWith('docs/decisions/'))
      .flatMap(file =>
        [...readText(file)!.matchAll(/^Packages?: (.*)$/gm)].flatMap(match => match[1]!.split(', ')),
      )
    expect(named.filter(name => !present.has(name))).toEqual([])
  })
})
