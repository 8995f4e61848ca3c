import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { FileEvent } from '../doubles/instrumented-files.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { applyChange, type DirectoryInode, type FileInode, type Inode, LossyDisk } from './lossy-disk.ts'

/**
 * kill -9 leaves the page cache alive and cannot catch a missing fsync. So: record what a piece of work does to its
 * files (`recordFiles`), then look at what would be on the disk had the power failed after each single call, in several
 * ways. What was acknowledged before must be readable in all of them; what is visible must be whole.
 */
export interface CrashState {
  /** What happened to that which was not synced. */
  readonly way: CrashWay
  /** How many of the events had happened. */
  readonly events: number
  /** Labels promised before the power failed. */
  readonly acknowledged: readonly string[]
  /** Every file below the watched directories, by absolute path. */
  readonly files: ReadonlyMap<string, Buffer>
  readonly directories: readonly string[]
}

export type CrashWay =
  /** Nothing that was not synced is there. */
  | 'all lost'
  /** The names are all there, unsynced content is missing at the end of each file. */
  | 'content lost'
  /** The names are all there, unsynced content is zeroes. */
  | 'content zeroed'
  /** All there, as after kill -9. */
  | 'nothing lost'
  /** Of each directory's unsynced changes the first few, of each file's unsynced bytes some: drawn by lot. */
  | 'some lost'

const WAYS: readonly CrashWay[] = ['all lost', 'content lost', 'content zeroed', 'nothing lost', 'some lost']

/** What lies below directories before the work begins: taken as safely on the disk. */
export interface DiskBefore {
  readonly directories: readonly string[]
  readonly files: ReadonlyMap<string, Buffer>
}

/** Reads what is there before a recording. */
export function diskBefore(...roots: readonly string[]): DiskBefore {
  const directories = [...roots]
  const files = new Map<string, Buffer>()
  for (const root of roots) {
    for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      const at = path.join(root, name)
      const stat = statSync(at)
      if (stat.isDirectory()) directories.push(at)
      else if (stat.isFile()) files.set(at, readFileSync(at))
    }
  }
  return { directories, files }
}

/**
 * The states of the disk after a power failure at every point of the recording, in every way. `roots`: the directories
 * to look at.
 */
export function* crashStates(
  before: DiskBefore,
  events: readonly FileEvent[],
  roots: readonly string[],
): Generator<CrashState> {
  const disk = new LossyDisk(events)
  for (const directory of before.directories) disk.addDirectory(directory)
  for (const [at, content] of before.files) disk.addFile(at, content)
  const random = seededRandom('power loss')
  const acknowledged: string[] = []
  for (const [index, event] of events.entries()) {
    if (event.kind === 'mark') acknowledged.push(event.label)
    else disk.apply(event)
    if (event.kind === 'begin') continue
    for (const way of WAYS) {
      const survivor = survivorOf(way, random.int)
      const state = { way, events: index + 1, acknowledged: [...acknowledged] }
      yield { ...state, ...collectState(disk.root, roots, survivor) }
    }
  }
}

/** Writes a state, as far as it lies below `from`, into an empty directory: to be opened with the real thing. */
export function materialize(state: CrashState, from: string, into: string): void {
  const placeOf = (at: string): string => path.join(into, path.relative(from, at))
  const isBelow = (at: string): boolean => at === from || at.startsWith(`${from}/`)
  for (const at of state.directories.filter(isBelow)) mkdirSync(placeOf(at), { recursive: true })
  for (const [at, content] of state.files) if (isBelow(at)) writeFileSync(placeOf(at), content)
}

/** What survives of one file or directory. */
interface Survivor {
  entries(directory: DirectoryInode): Map<string, Inode>
  content(file: FileInode): Buffer
}

function survivorOf(way: CrashWay, int: (below: number) => number): Survivor {
  const zeroed = (file: FileInode): Buffer => {
    const content = Buffer.alloc(Math.max(file.content.length, file.synced.length))
    file.synced.copy(content)
    return content
  }
  switch (way) {
    case 'all lost':
      return { entries: directory => directory.synced, content: file => file.synced }
    case 'content lost':
      return { entries: directory => directory.entries, content: file => file.synced }
    case 'content zeroed':
      return { entries: directory => directory.entries, content: zeroed }
    case 'nothing lost':
      return { entries: directory => directory.entries, content: file => file.content }
    case 'some lost':
      return {
        entries(directory) {
          const entries = new Map(directory.synced)
          const kept = directory.pending.slice(0, int(directory.pending.length + 1))
          for (const change of kept) applyChange(entries, change)
          return entries
        },
        content: file =>
          int(2) === 0 ? zeroed(file) : file.content.subarray(0, file.synced.length + int(64)),
      }
  }
}

function collectState(
  root: DirectoryInode,
  roots: readonly string[],
  survivor: Survivor,
): Pick<CrashState, 'files' | 'directories'> {
  const files = new Map<string, Buffer>()
  const directories: string[] = []
  const visit = (at: string, inode: Inode): void => {
    if (inode.kind === 'file') {
      files.set(at, survivor.content(inode))
      return
    }
    directories.push(at)
    for (const [name, child] of survivor.entries(inode)) visit(`${at}/${name}`, child)
  }
  for (const start of roots) {
    let inode: Inode | undefined = root
    for (const name of start.split('/').filter(part => part !== '')) {
      inode = inode?.kind === 'directory' ? inode.entries.get(name) : undefined
    }
    if (inode !== undefined) visit(start, inode)
  }
  return { files, directories }
}
