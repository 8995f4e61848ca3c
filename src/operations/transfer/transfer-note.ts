import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { removeFileDurably, writeFileDurably } from '../../kit/atomic-file.ts'

/**
 * What a transfer is about to move, kept on this host until it has ended: a run after a crash then knows which objects
 * that are in both storages are its own, to be removed from the source, and which lie in both on purpose.
 */
export interface TransferNote {
  /** Keys of the run before, which did not end. */
  readonly unfinished: ReadonlySet<string>
  /** Names of all backups as they stood before that run, oldest first. */
  readonly order: readonly string[]
  /** Durable when it returns; the keys of the run before stay in it. */
  write(keys: readonly string[], order?: readonly string[]): Promise<void>
  /** Nothing is under way any more. */
  remove(): Promise<void>
}

/** Opens the note of one pair of places; `pair` names them. The folder is made when something is to be noted. */
export function openTransferNote(folder: string, pair: string): TransferNote {
  const path = join(folder, `${pair}.json`)
  const { keys: before, order } = existsSync(path) ? readContent(path) : EMPTY
  const unfinished = new Set(before)
  return {
    unfinished,
    order,
    async write(keys, newOrder = []) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const content: NoteContent = { keys: [...new Set([...unfinished, ...keys])], order: newOrder }
      await writeFileDurably(path, `${JSON.stringify(content)}\n`)
    },
    async remove() {
      if (existsSync(path)) await removeFileDurably(path)
    },
  }
}

interface NoteContent {
  readonly keys: readonly string[]
  readonly order: readonly string[]
}

const EMPTY: NoteContent = { keys: [], order: [] }

/** A note that cannot be read proves nothing: objects in both storages then stay in both. */
function readContent(path: string): NoteContent {
  try {
    const { keys, order } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Record<string, unknown>>
    return { keys: textsOf(keys), order: textsOf(order) }
  } catch {
    return EMPTY
  }
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
}
