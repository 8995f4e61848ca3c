import { appendFileSync } from 'node:fs'
import {
  type FileCallName,
  type FileCalls,
  type FileSystem,
  nodeFileSystem,
  type PooledFileCalls,
} from '../../src/kit/file-system.ts'

/** One way in which the system lets a caller down. Plain data: it also travels to workers. */
export interface FileFault {
  readonly call: FileCallName
  /** Only calls on paths that contain this text; descriptors count by the path they were opened with. */
  readonly path?: string
  /** The fault strikes from the n-th matching call of the thread on (default 1, the first). */
  readonly nth?: number
  /** Strikes so often (default 1); Infinity is `null` in JSON, so say 1e9. */
  readonly times?: number
  /** The call is not made and fails with this. */
  readonly errno?: string
  /** `write` takes only so many bytes. */
  readonly bytesMax?: number
  /** The call is never answered (pooled calls only). */
  readonly hangs?: boolean
  /** The call is made, and fails with `errno` afterwards: an answer that was lost. */
  readonly isAnswerLost?: boolean
}

export interface InstrumentedFilesOptions {
  readonly faults?: readonly FileFault[]
  /** Every call is appended to this file (`test/crash/file-recording.ts` reads it). */
  readonly logPath?: string
}

/** One line of the log. Begin and end of a call are lines of their own: between them others may happen. */
export type FileEvent =
  | {
      readonly kind: 'begin'
      readonly id: string
      readonly call: FileCallName
      readonly args: readonly (string | number | null)[]
    }
  | { readonly kind: 'end'; readonly id: string; readonly result: number | null; readonly bytes?: string }
  | { readonly kind: 'failed'; readonly id: string; readonly errno: string }
  | { readonly kind: 'fault'; readonly index: number }
  | { readonly kind: 'mark'; readonly label: string }

export interface InstrumentedFiles extends FileSystem {
  /** Calls made so far, by name. */
  readonly counts: ReadonlyMap<FileCallName, number>
  /** Paths of the descriptors that are open. */
  openPaths(): string[]
  /** Faults that have not struck as often as they should, for `expect(...).toEqual([])`. */
  unconsumed(): FileFault[]
}

interface Verdict {
  readonly before?: Error
  readonly after?: Error
  readonly bytesMax?: number
  readonly hangs?: boolean
}

/** The export that a description's `systemModule` needs. */
export function openFileSystem(options: unknown): InstrumentedFiles {
  return instrumentFiles(options as InstrumentedFilesOptions)
}

/** The system's files, with faults and a log before them. */
export function instrumentFiles(options: InstrumentedFilesOptions): InstrumentedFiles {
  const probe = new Probe(options)
  const names = Object.keys(nodeFileSystem.blocking) as FileCallName[]
  const blocking: Record<string, unknown> = {}
  const pooled: Record<string, unknown> = {}
  for (const name of names) {
    const callBlocking = nodeFileSystem.blocking[name] as (...args: unknown[]) => unknown
    const callPooled = nodeFileSystem.pooled[name] as (...args: unknown[]) => Promise<unknown>
    blocking[name] = (...args: unknown[]): unknown => probe.blocking(name, args, callBlocking)
    pooled[name] = (...args: unknown[]): Promise<unknown> => probe.pooled(name, args, callPooled)
  }
  return {
    blocking: blocking as unknown as FileCalls,
    pooled: pooled as unknown as PooledFileCalls,
    counts: probe.counts,
    openPaths: () => probe.openPaths(),
    unconsumed: () => probe.unconsumed(),
  }
}

class Probe {
  readonly counts: Map<FileCallName, number> = new Map()
  readonly #faults: { fault: FileFault; seen: number; left: number }[]
  readonly #logPath: string | undefined
  readonly #pathByFd: Map<number, string> = new Map()
  readonly #thread: string = crypto.randomUUID().slice(0, 8)
  #lastId = 0

  constructor(options: InstrumentedFilesOptions) {
    this.#faults = (options.faults ?? []).map(fault => ({ fault, seen: 0, left: fault.times ?? 1 }))
    this.#logPath = options.logPath
  }

  openPaths(): string[] {
    return [...this.#pathByFd.values()]
  }

  unconsumed(): FileFault[] {
    return this.#faults
      .filter(({ fault, left }) => left > 0 && (fault.times ?? 1) < 1e9)
      .map(one => one.fault)
  }

  blocking(name: FileCallName, args: unknown[], call: (...args: unknown[]) => unknown): unknown {
    const verdict = this.#judge(name, args)
    const id = this.#begin(name, args)
    if (name === 'close') this.#pathByFd.delete(Number(args[0]))
    try {
      if (verdict.before !== undefined) throw verdict.before
      const value = call(...limited(args, verdict))
      this.#end(id, name, args, value)
      if (verdict.after !== undefined) throw verdict.after
      return value
    } catch (error) {
      this.#failed(id, error)
      throw error
    }
  }

  async pooled(
    name: FileCallName,
    args: unknown[],
    call: (...args: unknown[]) => Promise<unknown>,
  ): Promise<unknown> {
    const verdict = this.#judge(name, args)
    const id = this.#begin(name, args)
    if (name === 'close') this.#pathByFd.delete(Number(args[0]))
    try {
      if (verdict.hangs === true) await new Promise(() => {})
      if (verdict.before !== undefined) throw verdict.before
      const value = await call(...limited(args, verdict))
      this.#end(id, name, args, value)
      if (verdict.after !== undefined) throw verdict.after
      return value
    } catch (error) {
      this.#failed(id, error)
      throw error
    }
  }

  #judge(name: FileCallName, args: readonly unknown[]): Verdict {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    const path = typeof args[0] === 'number' ? (this.#pathByFd.get(args[0]) ?? '') : String(args[0])
    for (const [index, one] of this.#faults.entries()) {
      const { fault } = one
      if (fault.call !== name || !path.includes(fault.path ?? '')) continue
      one.seen++
      if (one.seen < (fault.nth ?? 1) || one.left <= 0) continue
      one.left--
      this.#log({ kind: 'fault', index })
      return verdictOf(fault)
    }
    return {}
  }

  #begin(call: FileCallName, args: readonly unknown[]): string {
    const id = `${this.#thread}-${++this.#lastId}`
    const plain = args.map(arg => (typeof arg === 'string' || typeof arg === 'number' ? arg : null))
    this.#log({ kind: 'begin', id, call, args: plain })
    return id
  }

  #end(id: string, name: FileCallName, args: readonly unknown[], value: unknown): void {
    if (name === 'open') this.#pathByFd.set(Number(value), String(args[0]))
    const result = typeof value === 'number' ? value : null
    if (name !== 'write' || result === null) {
      this.#log({ kind: 'end', id, result })
      return
    }
    const offset = Number(args[2])
    const written = (args[1] as Uint8Array).subarray(offset, offset + result)
    this.#log({ kind: 'end', id, result, bytes: Buffer.from(written).toString('base64') })
  }

  #failed(id: string, error: unknown): void {
    this.#log({ kind: 'failed', id, errno: String((error as { code?: unknown }).code) })
  }

  #log(event: FileEvent): void {
    if (this.#logPath !== undefined) appendFileSync(this.#logPath, `${JSON.stringify(event)}\n`)
  }
}

function verdictOf(fault: FileFault): Verdict {
  const limit = fault.bytesMax === undefined ? {} : { bytesMax: fault.bytesMax }
  const hang = fault.hangs === undefined ? {} : { hangs: fault.hangs }
  if (fault.errno === undefined) return { ...limit, ...hang }
  const error = Object.assign(new Error(`${fault.errno}: injected`), { code: fault.errno })
  return fault.isAnswerLost === true ? { ...limit, after: error } : { ...limit, before: error }
}

function limited(args: unknown[], verdict: Verdict): unknown[] {
  if (verdict.bytesMax === undefined) return args
  return args.map((arg, index) => (index === 3 ? Math.min(Number(arg), verdict.bytesMax ?? 0) : arg))
}
