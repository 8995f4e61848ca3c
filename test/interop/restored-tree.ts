import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

/** One entry of a restored directory, as the manifests of the fixtures have it. */
export type TreeEntry =
  | { readonly type: 'dir'; readonly mode: string }
  | { readonly type: 'link' }
  | { readonly size: number; readonly sha256: string; readonly mode: string }

export type Tree = Readonly<Record<string, TreeEntry>>

/** Everything below `root`; what is behind tablespace links follows below their names. */
export function readTree(root: string): Tree {
  const tree: Record<string, TreeEntry> = {}
  const walk = (directory: string, prefix: string): void => {
    for (const name of readdirSync(directory).sort()) {
      const file = path.join(directory, name)
      const member = prefix + name
      const info = lstatSync(file)
      const mode = (info.mode & 0o7777).toString(8).padStart(4, '0')
      if (info.isSymbolicLink()) tree[member] = { type: 'link' }
      else if (info.isDirectory()) tree[member] = { type: 'dir', mode }
      else {
        const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex')
        tree[member] = { size: info.size, sha256, mode }
      }
      if (info.isDirectory() || info.isSymbolicLink()) walk(file, `${member}/`)
    }
  }
  walk(root, '')
  return tree
}

/** Differences as lines of text: path, what was expected, what was found. */
export function compareTrees(expected: Tree, found: Tree): string[] {
  const paths = new Set([...Object.keys(expected), ...Object.keys(found)])
  const differences: string[] = []
  for (const name of [...paths].sort()) {
    const left = JSON.stringify(expected[name] ?? 'absent')
    const right = JSON.stringify(found[name] ?? 'absent')
    if (left !== right) differences.push(`${name}: ${left} -> ${right}`)
  }
  return differences
}

/**
 * Without `backup_manifest`: a difference that is meant. Ours is written into every whole restore, in place of a
 * stale one, so that pg_verifybackup can judge it.
 */
export function withoutServerManifest(tree: Tree): Tree {
  const { backup_manifest: _, ...rest } = tree
  return rest
}

/** Without what a fetch notes while it is under way: killed after its last step, it has not taken that away yet. */
export function withoutFetchState(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([name]) => !name.startsWith('wal-g_fetch_state')))
}
