import { constants } from 'node:fs'
import path from 'node:path'
import type { FileCallName } from '../../src/kit/file-system.ts'
import type { FileEvent } from '../doubles/instrumented-files.ts'

/** A file or a directory, whatever names it has. */
export type Inode = FileInode | DirectoryInode

export interface FileInode {
  readonly kind: 'file'
  /** What a reader sees now. */
  content: Buffer
  /** What the disk has for certain. */
  synced: Buffer
  /** Of the syncs that have ended, the one that began last. */
  lastSync: number
}

export interface DirectoryInode {
  readonly kind: 'directory'
  entries: Map<string, Inode>
  synced: Map<string, Inode>
  lastSync: number
  /** Changes that are not synced yet, oldest first; each happens as a whole or not at all. */
  pending: DirectoryChange[]
}

export interface DirectoryChange {
  readonly number: number
  readonly names: ReadonlyMap<string, Inode | undefined>
}

interface OpenFile {
  readonly inode: Inode
  positionBytes: number
}

type BeginEvent = Extract<FileEvent, { kind: 'begin' }>
type Finish = (result: number | null, bytes: string | undefined) => void

/** Calls that change names and need no result. */
const NAMING: ReadonlySet<FileCallName> = new Set<FileCallName>([
  'mkdir',
  'rmdir',
  'rename',
  'link',
  'unlink',
])

/**
 * A disk that keeps only what it was told to sync: content by fsync of the file, names by fsync of their directory.
 * Stricter than real file systems, so that what survives here survives there. Fed with recorded events.
 */
export class LossyDisk {
  readonly root: DirectoryInode = directory()
  readonly #open: Map<number, OpenFile> = new Map()
  readonly #underWay: Map<string, { event: BeginEvent; finish: Finish }> = new Map()
  readonly #failed: ReadonlySet<string>
  #changes = 0
  #syncs = 0

  /** `events` are the ones that will be applied: of a call under way it must be known whether it will fail. */
  constructor(events: readonly FileEvent[]) {
    this.#failed = new Set(events.flatMap(event => (event.kind === 'failed' ? [event.id] : [])))
  }

  /** A directory that was there, safely, before the recording. */
  addDirectory(at: string): DirectoryInode {
    let current = this.root
    for (const name of at.split('/').filter(part => part !== '')) {
      let next = current.entries.get(name)
      if (next === undefined) {
        next = directory()
        current.entries.set(name, next)
        current.synced.set(name, next)
      }
      if (next.kind !== 'directory') throw new Error(`${at} is below a file`)
      current = next
    }
    return current
  }

  /** A file that was there, safely, before the recording. */
  addFile(at: string, content: Uint8Array): void {
    const bytes = Buffer.from(content)
    const inode: FileInode = { kind: 'file', content: bytes, synced: bytes, lastSync: 0 }
    const parent = this.addDirectory(path.dirname(at))
    parent.entries.set(path.basename(at), inode)
    parent.synced.set(path.basename(at), inode)
  }

  apply(event: FileEvent): void {
    if (event.kind === 'begin') {
      this.#underWay.set(event.id, { event, finish: this.#begin(event) })
    } else if (event.kind === 'failed') {
      this.#underWay.delete(event.id)
    } else if (event.kind === 'end') {
      const call = this.#underWay.get(event.id)
      this.#underWay.delete(event.id)
      call?.finish(event.result, event.bytes)
    }
  }

  /**
   * A thread can see what another one has done before that one has written it down. So when a name is not as an event
   * needs it, the calls under way on that name have happened already.
   */
  #catchUp(at: string): void {
    for (const [id, { event, finish }] of this.#underWay) {
      if (!NAMING.has(event.call) || !event.args.includes(at) || this.#failed.has(id)) continue
      this.#underWay.delete(id)
      finish(null, undefined)
    }
  }

  /** `#catchUp` for a path and everything above it that is not known yet. */
  #catchUpTo(at: string): void {
    if (at === '/' || this.#find(at) !== undefined) return
    this.#catchUpTo(path.dirname(at))
    this.#catchUp(at)
  }

  #parentOf(at: string): DirectoryInode {
    this.#catchUpTo(path.dirname(at))
    const parent = this.#find(path.dirname(at))
    if (parent?.kind !== 'directory') throw new Error(`the recording does not know the directory of ${at}`)
    return parent
  }

  #begin({ call, args }: BeginEvent): Finish {
    const first = String(args[0])
    const second = String(args[1])
    const file = this.#open.get(Number(args[0]))
    const steps: Partial<Record<FileCallName, () => Finish>> = {
      open: () => result => this.#opened(first, Number(args[1]), Number(result)),
      close: () => {
        this.#open.delete(Number(args[0]))
        return () => {}
      },
      write: () => (_result, bytes) => write(file, Buffer.from(bytes ?? '', 'base64')),
      fsync: () => sync(file?.inode, ++this.#syncs),
      fdatasync: () => sync(file?.inode, ++this.#syncs),
      mkdir: () => () => {
        if (this.#find(first) !== undefined) this.#catchUp(first)
        this.#change([[first, directory()]])
      },
      rmdir: () => () => this.#change([[first, undefined]]),
      unlink: () => () => this.#change([[first, undefined]]),
      link: () => () => this.#change([[second, this.#find(first)]]),
      rename: () => () =>
        this.#change([
          [second, this.#find(first)],
          [first, undefined],
        ]),
      reflink: () => () => this.#change([[second, copyOf(this.#find(first))]]),
    }
    return steps[call]?.() ?? (() => {})
  }

  #opened(at: string, flags: number, fd: number): void {
    let inode = this.#find(at)
    if (inode === undefined && (flags & constants.O_CREAT) === 0) {
      this.#catchUpTo(at)
      inode = this.#find(at)
      // What lies outside of the watched directories is only read.
      if (inode === undefined) return
    }
    if (inode === undefined) {
      inode = { kind: 'file', content: Buffer.alloc(0), synced: Buffer.alloc(0), lastSync: 0 }
      this.#change([[at, inode]])
    }
    if (inode.kind === 'file' && (flags & constants.O_TRUNC) !== 0) inode.content = Buffer.alloc(0)
    const isAppending = (flags & constants.O_APPEND) !== 0
    this.#open.set(fd, {
      inode,
      positionBytes: isAppending && inode.kind === 'file' ? inode.content.length : 0,
    })
  }

  #find(at: string): Inode | undefined {
    let current: Inode | undefined = this.root
    for (const name of at.split('/').filter(part => part !== '')) {
      if (current?.kind !== 'directory') return undefined
      current = current.entries.get(name)
    }
    return current
  }

  /** Names of one directory that change together are one change; across directories each is its own. */
  #change(names: readonly (readonly [string, Inode | undefined])[]): void {
    const byDirectory = new Map<DirectoryInode, Map<string, Inode | undefined>>()
    for (const [at, inode] of names) {
      const parent = this.#parentOf(at)
      const group = byDirectory.get(parent) ?? new Map()
      byDirectory.set(parent, group.set(path.basename(at), inode))
    }
    for (const [parent, group] of byDirectory) {
      const change = { number: ++this.#changes, names: group }
      applyChange(parent.entries, change)
      parent.pending.push(change)
    }
  }
}

/** Makes one change to a set of entries. */
export function applyChange(entries: Map<string, Inode>, change: DirectoryChange): void {
  for (const [name, inode] of change.names) {
    if (inode === undefined) entries.delete(name)
    else entries.set(name, inode)
  }
}

function directory(): DirectoryInode {
  return { kind: 'directory', entries: new Map(), synced: new Map(), lastSync: 0, pending: [] }
}

function write(file: OpenFile | undefined, bytes: Buffer): void {
  if (file?.inode.kind !== 'file') throw new Error('the recording writes to a file that it has not opened')
  const { inode, positionBytes } = file
  const endBytes = positionBytes + bytes.length
  const content = Buffer.alloc(Math.max(inode.content.length, endBytes))
  inode.content.copy(content)
  bytes.copy(content, positionBytes)
  inode.content = content
  file.positionBytes = endBytes
}

/**
 * What was there when the sync began is safe when it has ended; what came meanwhile is not. One that began earlier and ends later
 * takes nothing back.
 */
function sync(inode: Inode | undefined, number: number): Finish {
  if (inode === undefined) return () => {}
  const keep = keepNow(inode)
  return () => {
    if (number < inode.lastSync) return
    inode.lastSync = number
    keep()
  }
}

/** What there is now, to be called safe later. */
function keepNow(inode: Inode): () => void {
  if (inode.kind === 'file') {
    const content = inode.content
    return () => {
      inode.synced = content
    }
  }
  const entries = new Map(inode.entries)
  const last = inode.pending.at(-1)?.number ?? 0
  return () => {
    inode.synced = entries
    inode.pending = inode.pending.filter(change => change.number > last)
  }
}

function copyOf(inode: Inode | undefined): FileInode {
  if (inode?.kind !== 'file') throw new Error('the recording copies what is no file')
  return { kind: 'file', content: inode.content, synced: Buffer.alloc(0), lastSync: 0 }
}
