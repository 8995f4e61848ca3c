import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fromSystemError, WalgError } from '../../kit/errors.ts'
import { formatByteSize } from '../../kit/sizes.ts'
import type { DrillPlan } from './options.ts'

/** Longest path of a Unix socket, without its name and the zero behind it. */
const SOCKET_DIRECTORY_BYTES_MAX = 107 - '/.s.PGSQL.65535.lock'.length
const OWNER_ONLY = 0o700
const REMOVE_TRIES = 10

/** The directories of a drill, all below one. */
export interface ScratchPlace {
  readonly scratch: string
  readonly dataDirectory: string
  readonly socketDirectory: string
  readonly configuration: string
  readonly logFile: string
}

/** Makes what is not made by the restore. */
export function makeScratchPlace(scratch: string): ScratchPlace {
  const near = path.join(scratch, 'socket')
  try {
    const isShort = Buffer.byteLength(near) <= SOCKET_DIRECTORY_BYTES_MAX
    if (isShort) fs.mkdirSync(near, { mode: OWNER_ONLY })
    return {
      scratch,
      dataDirectory: path.join(scratch, 'data'),
      socketDirectory: isShort ? near : fs.mkdtempSync(path.join(os.tmpdir(), 'wal-g-')),
      configuration: path.join(scratch, 'postgresql.conf'),
      logFile: path.join(scratch, 'server.log'),
    }
  } catch (error) {
    throw fromSystemError(error, 'create', near)
  }
}

/** Removes everything; what is still being written by a process that ends is waited for. */
export function removeScratchPlace({ scratch, socketDirectory }: ScratchPlace): void {
  for (const directory of [socketDirectory, scratch]) {
    try {
      fs.rmSync(directory, { recursive: true, force: true, maxRetries: REMOVE_TRIES, retryDelay: 100 })
    } catch (error) {
      throw fromSystemError(error, 'remove', directory)
    }
  }
}

/** Throws DISK_FULL when the data cannot have room there. */
export function checkRoom(scratch: string, { dataBytes, backup }: DrillPlan): void {
  const { bavail, bsize } = fs.statfsSync(scratch)
  const freeBytes = bavail * bsize
  if (freeBytes >= dataBytes) return
  throw new WalgError(
    'DISK_FULL',
    `backup ${backup} needs ${formatByteSize(dataBytes)}, "${scratch}" has ${formatByteSize(freeBytes)} left`,
    { facts: { path: scratch, freeBytes, dataBytes }, hint: 'name a directory with room: --scratch DIR' },
  )
}

/** A new place for every tablespace that lay outside of the data directory: nothing else on this host is touched. */
export function scratchTablespaces(scratch: string, { spec }: DrillPlan): ReadonlyMap<string, string> {
  const outside = (spec?.tablespaces ?? []).filter(
    ({ location }) => !`${location}/`.startsWith(`${spec?.basePrefix}/`),
  )
  return new Map(outside.map(({ oid, location }) => [location, path.join(scratch, `tablespace-${oid}`)]))
}
