import { constants } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { ByteStream } from './bytes.ts'
import { throwIfCancelled } from './clock.ts'
import { fromSystemError } from './errors.ts'
import { call, type FileSteps, runPooled, unless } from './file-steps.ts'
import { type FileSystem, fileSystem } from './file-system.ts'

export interface WriteFileOptions {
  /** Before the umask; default 0o600. */
  readonly mode?: number
  /** false: no fsync, for files that may be lost. Still complete or absent. Default true. */
  readonly isDurable?: boolean
  readonly signal?: AbortSignal
}

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL

/**
 * Writes a local file so that it is seen whole or not at all, and is on the disk when this returns: temporary beside
 * it, fsync, rename, fsync of the directory. Replaces an existing file. The directory must exist. Throws DISK_FULL,
 * FILE_ACCESS, FILE_NOT_FOUND; an error of the stream as it is. For storage objects there is `storage/`.
 */
export async function writeFileDurably(
  path: string,
  content: Uint8Array | string | ByteStream,
  options: WriteFileOptions = {},
): Promise<void> {
  const system = fileSystem()
  const isDurable = options.isDurable ?? true
  const temporary = join(dirname(path), `${basename(path)}.tmp.${randomHex()}`)
  const fd = await translated(path, runPooled(system, call('open', temporary, CREATE, options.mode ?? 0o600)))
  let isOpen = true
  try {
    await writeContent(system, path, fd, content)
    throwIfCancelled(options.signal)
    if (isDurable) await translated(path, runPooled(system, call('fsync', fd)))
    isOpen = false
    await translated(path, runPooled(system, call('close', fd)))
    await translated(path, runPooled(system, call('rename', temporary, path)))
    if (isDurable) await syncDirectory(dirname(path))
  } catch (error) {
    await runPooled(system, cleanUp(temporary, isOpen ? fd : undefined))
    throw error
  }
}

/** Makes the entries of a directory (new, renamed, removed names) durable. */
export async function syncDirectory(path: string): Promise<void> {
  await translated(path, runPooled(fileSystem(), syncSteps(path)))
}

/** Removes a file durably; a missing one is not an error. */
export async function removeFileDurably(path: string): Promise<void> {
  await translated(path, runPooled(fileSystem(), unless(['ENOENT'], call('unlink', path))))
  await syncDirectory(dirname(path))
}

function* syncSteps(path: string): FileSteps<void> {
  const fd = yield* call('open', path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    yield* unless(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'], call('fsync', fd))
  } finally {
    yield* call('close', fd)
  }
}

async function writeContent(
  system: FileSystem,
  path: string,
  fd: number,
  content: Uint8Array | string | ByteStream,
): Promise<void> {
  if (typeof content === 'string') return writeAll(system, path, fd, new TextEncoder().encode(content))
  if (content instanceof Uint8Array) return writeAll(system, path, fd, content)
  for await (const chunk of content) await writeAll(system, path, fd, chunk)
}

async function writeAll(system: FileSystem, path: string, fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const count = await translated(path, runPooled(system, call('write', fd, bytes, at, bytes.length - at)))
    if (count <= 0) throw fromSystemError(new Error('nothing was written'), 'write', path)
    at += count
  }
}

/** The first error is the one to report: what cannot be removed stays as a temporary. */
function* cleanUp(temporary: string, fd: number | undefined): FileSteps<void> {
  try {
    if (fd !== undefined) yield* call('close', fd)
  } catch {}
  try {
    yield* call('unlink', temporary)
  } catch {}
}

async function translated<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw fromSystemError(error, 'write', path)
  }
}

/** 16 random digits for the name of a temporary; `node:crypto` would cost a process milliseconds to load. */
export function randomHex(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex')
}
