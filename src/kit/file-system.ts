import fs from 'node:fs'
import { WalgError } from './errors.ts'

/**
 * The system calls that durable files are made of, as one seam: tests put a recorder or a saboteur here, on
 * the main thread and in workers. Errors are the system's own; whoever calls, translates.
 */
export interface FileCalls {
  open(path: string, flags: number, mode?: number): number
  close(fd: number): void
  /** `position` null = the file's own. */
  read(fd: number, into: Uint8Array, offset: number, lengthBytes: number, position: number | null): number
  /** Writes at the file's position; may write less than asked. */
  write(fd: number, bytes: Uint8Array, offset: number, lengthBytes: number): number
  fsync(fd: number): void
  fdatasync(fd: number): void
  fstat(fd: number): fs.BigIntStats
  stat(path: string): fs.BigIntStats
  lstat(path: string): fs.BigIntStats
  realpath(path: string): string
  readdir(path: string): fs.Dirent[]
  mkdir(path: string, mode?: number): void
  rmdir(path: string): void
  rename(source: string, target: string): void
  link(source: string, target: string): void
  unlink(path: string): void
  /** A copy that shares its blocks; fails with ENOTSUP, EXDEV… where that is not possible, EEXIST when there. */
  reflink(source: string, target: string): void
}

export type FileCallName = keyof FileCalls

type Pooled<F> = F extends (...args: infer A) => infer R ? (...args: A) => Promise<R> : never
export type PooledFileCalls = { readonly [K in FileCallName]: Pooled<FileCalls[K]> }

/** Each call twice: `blocking` in this thread, `pooled` on the thread pool. */
export interface FileSystem {
  readonly blocking: FileCalls
  readonly pooled: PooledFileCalls
}

const REFLINK = fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE_FORCE

const blocking: FileCalls = {
  open: (path, flags, mode) => fs.openSync(path, flags, mode),
  close: fd => fs.closeSync(fd),
  read: (fd, into, offset, lengthBytes, position) => fs.readSync(fd, into, offset, lengthBytes, position),
  write: (fd, bytes, offset, lengthBytes) => fs.writeSync(fd, bytes, offset, lengthBytes, null),
  fsync: fd => fs.fsyncSync(fd),
  fdatasync: fd => fs.fdatasyncSync(fd),
  fstat: fd => fs.fstatSync(fd, { bigint: true }),
  stat: path => fs.statSync(path, { bigint: true }),
  lstat: path => fs.lstatSync(path, { bigint: true }),
  realpath: path => fs.realpathSync.native(path),
  readdir: path => fs.readdirSync(path, { withFileTypes: true }),
  mkdir: (path, mode) => {
    fs.mkdirSync(path, { mode: mode ?? 0o777 })
  },
  rmdir: path => fs.rmdirSync(path),
  rename: (source, target) => fs.renameSync(source, target),
  link: (source, target) => fs.linkSync(source, target),
  unlink: path => fs.unlinkSync(path),
  reflink: (source, target) => fs.copyFileSync(source, target, REFLINK),
}

type Callback<T> = (error: NodeJS.ErrnoException | null, value?: T) => void

function pool<T>(call: (callback: Callback<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    call((error, value) => {
      if (error) reject(error)
      else resolve(value as T)
    })
  })
}

const pooled: PooledFileCalls = {
  open: (path, flags, mode) => pool(done => fs.open(path, flags, mode, done)),
  close: fd => pool(done => fs.close(fd, done)),
  read: (fd, into, offset, lengthBytes, position) =>
    pool(done => fs.read(fd, into, offset, lengthBytes, position, done)),
  write: (fd, bytes, offset, lengthBytes) =>
    pool(done => fs.write(fd, bytes, offset, lengthBytes, null, done)),
  fsync: fd => pool(done => fs.fsync(fd, done)),
  fdatasync: fd => pool(done => fs.fdatasync(fd, done)),
  fstat: fd => pool(done => fs.fstat(fd, { bigint: true }, done)),
  stat: path => pool(done => fs.stat(path, { bigint: true }, done)),
  lstat: path => pool(done => fs.lstat(path, { bigint: true }, done)),
  realpath: path => pool(done => fs.realpath.native(path, done)),
  readdir: path => pool(done => fs.readdir(path, { withFileTypes: true }, done)),
  mkdir: (path, mode) => pool(done => fs.mkdir(path, { mode: mode ?? 0o777 }, error => done(error))),
  rmdir: path => pool(done => fs.rmdir(path, done)),
  rename: (source, target) => pool(done => fs.rename(source, target, done)),
  link: (source, target) => pool(done => fs.link(source, target, done)),
  unlink: path => pool(done => fs.unlink(path, done)),
  reflink: (source, target) => pool(done => fs.copyFile(source, target, REFLINK, done)),
}

export const nodeFileSystem: FileSystem = { blocking, pooled }

/** Runs a blocking call where a pooled one is expected. */
function inThread<A extends unknown[], R>(call: (...args: A) => R): (...args: A) => Promise<R> {
  return async (...args) => call(...args)
}

/**
 * For threads whose files all lie on local file systems: what the kernel answers from its caches there runs in this
 * thread, since a hop to the pool and back costs more than the call. What waits for the device (fsync, reading, the
 * opening of files and folders) stays on the pool, where it can be given up.
 */
export const localFileSystem: FileSystem = {
  blocking,
  pooled: {
    ...pooled,
    close: inThread(blocking.close),
    write: inThread(blocking.write),
    fstat: inThread(blocking.fstat),
    stat: inThread(blocking.stat),
    lstat: inThread(blocking.lstat),
    realpath: inThread(blocking.realpath),
    mkdir: inThread(blocking.mkdir),
    rmdir: inThread(blocking.rmdir),
    rename: inThread(blocking.rename),
    link: inThread(blocking.link),
    unlink: inThread(blocking.unlink),
  },
}

let current: FileSystem = nodeFileSystem

/** What this thread's durable writes go through: the system, unless a test has put something before it. */
export function fileSystem(): FileSystem {
  return current
}

/** For tests: puts `system` in place for this thread; the returned function restores what was there. */
export function replaceFileSystem(system: FileSystem): () => void {
  const before = current
  current = system
  return () => {
    current = before
  }
}

/** Opening a FIFO without O_NONBLOCK would wait for its writer, deaf to signals. Of no effect for regular files. */
export const READ_NOW: number = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK

/** Waits until a file or folder is on disk. Throws the system's own errors. */
export function syncPath(path: string): void {
  const descriptor = fs.openSync(path, 'r')
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}

/** The content of a small regular file. Throws FILE_ACCESS for anything else, and the system's own errors. */
export function readRegularFile(path: string): Buffer {
  const descriptor = fs.openSync(path, READ_NOW)
  try {
    if (fs.fstatSync(descriptor).isFile()) return fs.readFileSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
  throw new WalgError('FILE_ACCESS', `unable to read "${path}": not a regular file`, { facts: { path } })
}
