import path from 'node:path'
import { findCycles, type Import, type ImportGraph, loadedBy } from './import-graph.ts'

/** Which rooms a room may look into (docs/ARCHITECTURE.md). */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  kit: [],
  postgres: ['kit'],
  tar: ['kit'],
  codec: ['kit'],
  storage: ['kit'],
  delta: ['kit', 'postgres'],
  repository: ['kit', 'postgres', 'codec', 'storage'],
  operations: ['kit', 'postgres', 'tar', 'codec', 'storage', 'delta', 'repository'],
  services: ['kit', 'repository', 'operations'],
  cli: ['kit', 'postgres', 'tar', 'codec', 'storage', 'delta', 'repository', 'operations', 'services'],
}

const LIBRARY_DOOR = 'src/index.ts'

function roomOf(file: string): string {
  return file.split('/')[1] ?? ''
}

function describe(one: Import): string {
  return `${one.from} -> ${one.to}`
}

/** Imports between rooms that the floors do not allow. */
export function floorViolations(graph: ImportGraph): string[] {
  return graph.imports
    .filter(one => one.to.startsWith('src/') && one.from !== LIBRARY_DOOR)
    .filter(one => roomOf(one.from) !== roomOf(one.to))
    .filter(one => !(FLOORS[roomOf(one.from)] ?? []).includes(roomOf(one.to)))
    .map(describe)
}

/** Imports that leave src/ or name a file that does not exist. */
export function strayImports(graph: ImportGraph): string[] {
  const files = new Set(graph.files)
  return graph.imports
    .filter(one => !one.isPackage && !/^(node|bun):/.test(one.to) && one.to !== 'bun')
    .filter(one => !files.has(one.to) && !one.to.endsWith('.wasm') && !/^src\/.*\.d\.ts$/.test(one.to))
    .map(describe)
}

/** `src/<room>/<folder>/…`: the member of a collection of peers that a file is, or undefined. */
function peerOf(file: string, folder: string): string | undefined {
  if (!file.startsWith(`${folder}/`)) return undefined
  const name = file.slice(folder.length + 1).split('/')[0]!
  return name.replace(/\.ts$/, '')
}

/** An operation that imports a sibling; `settings.ts` may gather from all of them. */
export function siblingViolations(graph: ImportGraph): string[] {
  const folder = 'src/operations'
  const isShared = (file: string): boolean => path.dirname(file) === folder
  return graph.imports
    .filter(one => peerOf(one.from, folder) !== undefined && peerOf(one.to, folder) !== undefined)
    .filter(one => !isShared(one.to) && one.from !== `${folder}/settings.ts`)
    .filter(one => isShared(one.from) || peerOf(one.from, folder) !== peerOf(one.to, folder))
    .map(describe)
}

/** Drivers know no driver, layers only the contract, compressions no encryption (and the other way round). */
export function peerViolations(graph: ImportGraph): string[] {
  const drivers = 'src/storage/drivers'
  const layers = 'src/storage/layers'
  const isWrong = (one: Import): boolean => {
    const fromDriver = peerOf(one.from, drivers)
    const toDriver = peerOf(one.to, drivers)
    if (fromDriver !== undefined && toDriver !== undefined && fromDriver !== toDriver) return true
    if (peerOf(one.from, layers) !== undefined) {
      if (toDriver !== undefined || one.to === 'src/storage/open-storage.ts') return true
      const toLayer = peerOf(one.to, layers)
      if (toLayer !== undefined && toLayer !== peerOf(one.from, layers)) return true
    }
    const compression = 'src/codec/compression/'
    const encryption = 'src/codec/encryption/'
    return (
      (one.from.startsWith(compression) && one.to.startsWith(encryption)) ||
      (one.from.startsWith(encryption) && one.to.startsWith(compression))
    )
  }
  return graph.imports.filter(isWrong).map(describe)
}

/** Rings of imports, `import type` between folders included. */
export function cycleViolations(graph: ImportGraph): string[] {
  return findCycles(graph).map(cycle => cycle.join(' -> '))
}

function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** npm packages that more than one file imports; the types of one may be used in the whole folder. */
export function packageViolations(graph: ImportGraph): string[] {
  const importers = new Map<string, Import[]>()
  for (const one of graph.imports.filter(each => each.isPackage)) {
    const name = packageName(one.to)
    importers.set(name, [...(importers.get(name) ?? []), one])
  }
  const distinct = (names: string[]): string[] => [...new Set(names)]
  return [...importers].flatMap(([name, imports]) => {
    const files = distinct(imports.filter(one => !one.isType).map(one => one.from))
    const folders = distinct(imports.map(one => path.dirname(one.from)))
    if (files.length > 1) return [`${name}: ${files.join(', ')}`]
    return folders.length > 1 ? [`${name}: ${folders.join(', ')}`] : []
  })
}

/** npm packages that are loaded with `file` although nobody has asked for them yet. */
export function eagerPackages(graph: ImportGraph, file: string): string[] {
  const packages = new Set(graph.imports.filter(one => one.isPackage).map(one => one.to))
  return [...loadedBy(graph, file)].filter(name => packages.has(name))
}
