import { describe, expect, test } from 'bun:test'
import {
  cycleViolations,
  eagerPackages,
  floorViolations,
  packageViolations,
  peerViolations,
  siblingViolations,
  strayImports,
} from './house-rules.ts'
import { type ImportGraph, importsOf, readImportGraph } from './import-graph.ts'
import { codeOf, listSources, readText } from './source-tree.ts'

const graph = readImportGraph()

function graphOf(sources: Record<string, string>): ImportGraph {
  return {
    files: Object.keys(sources),
    imports: Object.entries(sources).flatMap(([file, text]) => importsOf(file, text)),
  }
}

describe('the house', () => {
  test('imports go to a lower floor or stay in their room', () => {
    expect(floorViolations(graph)).toEqual([])
  })
  test('imports name files that exist, with their ending', () => {
    expect(strayImports(graph)).toEqual([])
  })
  test('an operation never imports a sibling', () => {
    expect(siblingViolations(graph)).toEqual([])
  })
  test('drivers, layers, compressions and encryptions do not know each other', () => {
    expect(peerViolations(graph)).toEqual([])
  })
  test('imports make no ring', () => {
    expect(cycleViolations(graph)).toEqual([])
  })
  test('an npm package is imported by one file', () => {
    expect(packageViolations(graph)).toEqual([])
  })
  for (const file of ['src/cli/main.ts', 'src/cli/commands/wal-push.ts', 'src/cli/commands/wal-fetch.ts']) {
    test(`${file} loads no npm package before it is needed`, () => {
      expect(eagerPackages(graph, file)).toEqual([])
    })
  }
  test('only src/cli reads the environment and arguments, prints or exits', () => {
    const forbidden = /\bprocess\.(env|argv|exit|exitCode|stdout|stderr|stdin)\b|\bconsole\./g
    const found = listSources()
      .filter(file => !file.startsWith('src/cli/'))
      .flatMap(file => {
        const code = codeOf(readText(file) ?? '', { withoutStrings: true })
        return [...code.matchAll(forbidden)].map(match => `${file}: ${match[0]}`)
      })
    expect(found).toEqual([])
  })
  test('sources use node: and web APIs only', () => {
    const found = listSources().filter(file => {
      const code = codeOf(readText(file) ?? '', { withoutStrings: true })
      const isBun = importsOf(file).some(one => one.to === 'bun' || one.to.startsWith('bun:'))
      return isBun || /\bBun\./.test(code)
    })
    expect(found).toEqual([])
  })
  test('there are no barrels: no file that only exports what others declare', () => {
    const isBarrel = (file: string): boolean => {
      if (file === 'src/index.ts') return false
      const code = codeOf(readText(file) ?? '')
      const rest = code.replace(
        /\bexport\s+(type\s+)?(\*(\s+as\s+\w+)?|\{[^}]*\})\s+from\s+['"][^'"]+['"];?/g,
        '',
      )
      return file.endsWith('/index.ts') || (rest !== code && rest.trim() === '')
    }
    expect(listSources().filter(isBarrel)).toEqual([])
  })
})

describe('the rules themselves', () => {
  test('see every form of import', () => {
    const text = [
      `import a from '../kit/a.ts'`,
      `import type { B } from '../storage/b.ts'`,
      `import {\n  c,\n  type D,\n} from '../storage/c.ts'`,
      `export { e } from './e.ts'`,
      `import './f.ts'`,
      `const g = await import('pg')`,
      `let h: import('./h.ts').H`,
      `// import x from './comment.ts'`,
      `new Worker(new URL('./part-worker.ts', import.meta.url))`,
    ].join('\n')
    expect(importsOf('src/codec/x.ts', text).map(one => one.to)).toEqual([
      'src/kit/a.ts',
      'src/storage/b.ts',
      'src/storage/c.ts',
      'src/codec/e.ts',
      'src/codec/f.ts',
      'pg',
      'src/codec/h.ts',
      'src/codec/part-worker.ts',
    ])
  })
  test('find a wing that imports a wing, also as a type', () => {
    const broken = graphOf({ 'src/codec/x.ts': `import type { A } from '../storage/a.ts'` })
    expect(floorViolations(broken)).toEqual(['src/codec/x.ts -> src/storage/a.ts'])
  })
  test('find an operation that imports a sibling', () => {
    const broken = graphOf({ 'src/operations/wal-push/x.ts': `import { a } from '../wal-fetch/a.ts'` })
    expect(siblingViolations(broken)).toHaveLength(1)
  })
  test('find a driver that imports a driver, and a layer that opens a storage', () => {
    const broken = graphOf({
      'src/storage/drivers/fs.ts': `import { a } from './memory.ts'`,
      'src/storage/layers/meter.ts': `import { a } from '../open-storage.ts'`,
    })
    expect(peerViolations(broken)).toHaveLength(2)
  })
  test('find a ring, and a package that is loaded too early or by two files', () => {
    const broken = graphOf({
      'src/cli/main.ts': `import { a } from './a.ts'`,
      'src/cli/a.ts': `import { b } from './b.ts'\nimport pg from 'pg'`,
      'src/cli/b.ts': `import { a } from './a.ts'\nconst pg = import('pg')`,
    })
    expect(cycleViolations(broken)).toEqual(['src/cli/a.ts -> src/cli/b.ts -> src/cli/a.ts'])
    expect(packageViolations(broken)).toHaveLength(1)
    expect(eagerPackages(broken, 'src/cli/main.ts')).toEqual(['pg'])
  })
})
