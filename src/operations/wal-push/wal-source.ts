import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { fromSystemError, WalgError } from '../../kit/errors.ts'
import { READ_NOW } from '../../kit/file-system.ts'

/** A local file that PostgreSQL wants archived: segment, history, backup label or partial segment. */
export interface WalSource {
  readonly path: string
  /** The archive's name for it. */
  readonly name: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
  /** Reads from `position`; returns the count of bytes, 0 at the end. Throws FILE_ACCESS. */
  readAt(into: Uint8Array, position: number): number
  close(): void
}

/** Opens a file for archiving. Throws FILE_NOT_FOUND, FILE_ACCESS, or USAGE for anything but a regular file. */
export function openWalSource(path: string): WalSource {
  let descriptor: number
  try {
    descriptor = openSync(path, READ_NOW)
  } catch (error) {
    throw fromSystemError(error, 'open the file to archive', path)
  }
  const stats = fstatSync(descriptor, { bigint: true })
  if (!stats.isFile()) {
    closeSync(descriptor)
    throw new WalgError('USAGE', `unable to archive "${path}": not a regular file`, {
      hint: 'archive_command should pass %p, the path of the file',
    })
  }
  return {
    path,
    name: basename(path),
    sizeBytes: Number(stats.size),
    modifiedNs: stats.mtimeNs,
    readAt(into: Uint8Array, position: number): number {
      try {
        return readSync(descriptor, into, 0, into.length, position)
      } catch (error) {
        throw fromSystemError(error, 'read', path)
      }
    },
    close: () => closeSync(descriptor),
  }
}
