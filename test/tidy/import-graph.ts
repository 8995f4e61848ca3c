import path from 'node:path'
import { codeOf, listSources, readText } from './source-tree.ts'

export interface Import {
  readonly from: string
  /** A file of the project, or what stands in the quotes (`node:fs`, `pg`). */
  readonly to: string
  readonly isPackage: boolean
  /** `import type`: gone at run time. */
  readonly isType: boolean
  /** `import()`, or the start of a worker. */
  readonly isLazy: boolean
}

const STATIC = /\b(?:import|export)\s+(type\s+)?(?:[\w$*\s{},]*?\bfrom\s*)?['"]([^'"\n]+)['"]/g
const DYNAMIC = /\bimport\(\s*['"]([^'"\n]+)['"]/g
/** `import('x').Name` or `typeof import('x')`: a type; a value is awaited or has `.then`. */
const TYPE_QUERY = /\btypeof\s+import\(|\bimport\(\s*['"][^'"\n]+['"]\s*\)\.[A-Z]/g
const WORKER = /new URL\(\s*['"](\.[^'"\n]+)['"],\s*import\.meta\.url/g

function resolve(from: string, specifier: string): Pick<Import, 'to' | 'isPackage'> {
  if (!specifier.startsWith('.')) {
    const isBuiltin = specifier.startsWith('node:') || specifier.startsWith('bun')
    return { to: specifier, isPackage: !isBuiltin }
  }
  return { to: path.join(path.dirname(from), specifier), isPackage: false }
}

/** All imports written in one file. */
export function importsOf(file: string, text: string = readText(file) ?? ''): Import[] {
  const code = codeOf(text)
  const found: Import[] = []
  for (const [, type, specifier] of code.matchAll(STATIC)) {
    found.push({ from: file, ...resolve(file, specifier!), isType: type !== undefined, isLazy: false })
  }
  const typeQueries = new Set(
    [...code.matchAll(TYPE_QUERY)].map(match => match.index + match[0].indexOf('import(')),
  )
  for (const match of code.matchAll(DYNAMIC)) {
    found.push({
      from: file,
      ...resolve(file, match[1]!),
      isType: typeQueries.has(match.index),
      isLazy: true,
    })
  }
  for (const [, specifier] of code.matchAll(WORKER)) {
    found.push({ from: file, ...resolve(file, specifier!), isType: false, isLazy: true })
  }
  return found
}

export interface ImportGraph {
  readonly files: readonly string[]
  readonly imports: readonly Import[]
}

/** The imports of all sources. */
export function readImportGraph(): ImportGraph {
  const files = listSources()
  return { files, imports: files.flatMap(file => importsOf(file)) }
}

/** What is loaded when `file` is: everything that its static imports of values reach, packages included. */
export function loadedBy(graph: ImportGraph, file: string): Set<string> {
  const loaded = new Set<string>()
  const waiting = [file]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (loaded.has(next)) continue
    loaded.add(next)
    for (const one of graph.imports) {
      if (one.from === next && !one.isType && !one.isLazy) waiting.push(one.to)
    }
  }
  return loaded
}

/** Every ring of static imports, each once, as the list of its files. A type within one folder is no part of a ring. */
export function findCycles(graph: ImportGraph): string[][] {
  const targets = new Map<string, string[]>()
  for (const one of graph.imports) {
    const isWithinFolder = path.dirname(one.from) === path.dirname(one.to)
    if (!one.isLazy && !(one.isType && isWithinFolder))
      targets.set(one.from, [...(targets.get(one.from) ?? []), one.to])
  }
  const cycles: string[][] = []
  const state = new Map<string, 'open' | 'done'>()
  const trail: string[] = []
  const visit = (file: string): void => {
    state.set(file, 'open')
    trail.push(file)
    for (const target of targets.get(file) ?? []) {
      if (state.get(target) === 'open') cycles.push([...trail.slice(trail.indexOf(target)), target])
      else if (!state.has(target)) visit(target)
    }
    trail.pop()
    state.set(file, 'done')
  }
  for (const file of graph.files) if (!state.has(file)) visit(file)
  return cycles
}
