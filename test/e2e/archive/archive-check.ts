import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { collect } from '../../../src/kit/bytes.ts'
import { openPayload } from '../../../src/repository/sealed.ts'
import { listWal } from '../../../src/repository/wal-catalog.ts'
import { operationContext } from '../../support/operation-context.ts'

const FILE_BYTES_MAX = 64 << 20

/** Names that PostgreSQL regards as archived, and still has. */
export function doneNames(dataDirectory: string): string[] {
  const wal = path.join(dataDirectory, 'pg_wal')
  return readdirSync(path.join(wal, 'archive_status'))
    .filter(name => name.endsWith('.done'))
    .map(name => name.slice(0, -'.done'.length))
    .filter(name => existsSync(path.join(wal, name)))
    .sort()
}

/** Names that PostgreSQL still wants archived, oldest first. */
export function readyNames(dataDirectory: string): string[] {
  return readdirSync(path.join(dataDirectory, 'pg_wal/archive_status'))
    .filter(name => name.endsWith('.ready'))
    .map(name => name.slice(0, -'.ready'.length))
    .sort()
}

/** Those of `names` whose object is missing, unreadable, or not the server's file bit for bit. */
export async function lostNames(
  repository: string,
  dataDirectory: string,
  names: readonly string[],
): Promise<string[]> {
  const context = await operationContext(repository)
  const lost: string[] = []
  for (const name of names) {
    const local = readFileSync(path.join(dataDirectory, 'pg_wal', name))
    try {
      const stream = await openPayload(context.storage, context.codec, `wal_005/${name}`)
      const archived = await collect(stream, FILE_BYTES_MAX)
      if (Buffer.compare(archived, local) !== 0) lost.push(`${name}: other bytes`)
    } catch (error) {
      lost.push(`${name}: ${String(error)}`)
    }
  }
  return lost
}

/** Names in the archive as a reader of the repository sees them, with the kind of each. */
export async function archivedNames(repository: string): Promise<Map<string, string>> {
  const { storage } = await operationContext(repository)
  const names = new Map<string, string>()
  for await (const object of listWal(storage)) names.set(object.file, object.kind)
  return names
}
