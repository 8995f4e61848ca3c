import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { randomHex } from '../../kit/atomic-file.ts'
import { fromSystemError } from '../../kit/errors.ts'
import { syncPath } from '../../kit/file-system.ts'
import type { StorageDescription } from '../description.ts'
import { storageIdentity } from '../storage-identity.ts'

/** An object that a mirror lacks. */
export interface MirrorGap {
  readonly key: string
  /** What went wrong, where this thread knows it. */
  readonly why: string
}

/** The file for what `mirror` lacks of the repository in `first`: one line for each object. */
export function gapFile(folder: string, first: StorageDescription, mirror: StorageDescription): string {
  const places = `${storageIdentity(first)}\n${storageIdentity(mirror)}`
  const hash = createHash('md5').update(places).digest('hex').slice(0, 16)
  return join(folder, `${mirror.name}-${hash}.gaps`)
}

/** Appends a line; durable when it returns. Throws FILE_ACCESS or DISK_FULL: then nothing may be acknowledged. */
export function noteGap(file: string, gap: MirrorGap): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    const isNew = !existsSync(file)
    const descriptor = openSync(file, 'a', 0o600)
    try {
      writeSync(descriptor, `${JSON.stringify(gap)}\n`)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    if (isNew) syncPath(dirname(file))
  } catch (error) {
    throw fromSystemError(error, 'note what a mirror lacks in', file)
  }
}

/** True when something is noted: cheap, for every push. */
export function hasGaps(file: string): boolean {
  return existsSync(file) || takenFiles(file).length > 0
}

/** How many lines are noted. */
export function countGaps(file: string): number {
  return [file, ...takenFiles(file)].reduce((sum, each) => sum + readGaps(each).length, 0)
}

/** What is noted, taken out of the way of those who note more meanwhile. */
export interface TakenGaps {
  /** In the order in which they arose, each key once. */
  readonly gaps: readonly MirrorGap[]
  /** Forgets them, but for those that `remaining` names. */
  settle(remaining: readonly MirrorGap[]): void
}

/** Takes everything that is noted; what an earlier run took and did not settle is part of it. */
export function takeGaps(file: string): TakenGaps {
  const taken = takenFiles(file)
  const own = `${file}.${randomHex()}.taken`
  if (existsSync(file)) {
    renameSync(file, own)
    taken.push(own)
  }
  const byKey = new Map<string, MirrorGap>()
  for (const each of taken) for (const gap of readGaps(each)) byKey.set(gap.key, gap)
  return {
    gaps: [...byKey.values()],
    settle(remaining) {
      for (const gap of remaining) noteGap(file, gap)
      for (const each of taken) if (existsSync(each)) unlinkSync(each)
    },
  }
}

function takenFiles(file: string): string[] {
  const folder = dirname(file)
  if (!existsSync(folder)) return []
  const begin = `${basename(file)}.`
  return readdirSync(folder)
    .filter(name => name.startsWith(begin) && name.endsWith('.taken'))
    .sort()
    .map(name => join(folder, name))
}

function readGaps(file: string): MirrorGap[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap(line => parseGap(line) ?? [])
}

/** A line that a crash cut short was never acknowledged. */
function parseGap(line: string): MirrorGap | undefined {
  try {
    const { key, why } = JSON.parse(line) as Partial<Record<string, unknown>>
    return typeof key === 'string' && key !== ''
      ? { key, why: typeof why === 'string' ? why : '' }
      : undefined
  } catch {
    return undefined
  }
}
