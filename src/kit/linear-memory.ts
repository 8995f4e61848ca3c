import { readFileSync } from 'node:fs'
import { assert } from './errors.ts'

const PAGE_BYTES = 65_536
/** No thread has use for more; keeps a miscounted allocation from becoming the machine's problem. */
const MEMORY_BYTES_MAX = 1 << 30
/** Address 0 stays free, so that it can mean "nothing". */
const FIRST_OFFSET = 64

/**
 * One WebAssembly memory on which several small modules work in place (compression, hash, page checksums):
 * file bytes are read into it once. One per thread. It grows as areas are allocated, and bytes never move: views
 * stay good for as long as their area is not released.
 */
export interface LinearMemory {
  readonly memory: WebAssembly.Memory
  /** The whole memory, always the same array; it becomes longer as the memory grows. */
  readonly bytes: Uint8Array
  /** Offset of `sizeBytes` free bytes, aligned to `alignBytes` (a power of two). Contents are undefined. */
  allocate(sizeBytes: number, alignBytes?: number): number
  /** Gives an area back for later allocations of the same size. */
  release(offset: number, sizeBytes: number): void
}

/** The part of WebAssembly's interface that the DOM types do not know yet. */
interface ResizableMemory extends WebAssembly.Memory {
  toResizableBuffer(): ArrayBuffer
}

/** Opens a linear memory that starts with room for `sizeBytes` and grows when an allocation needs more. */
export function createLinearMemory(sizeBytes: number = PAGE_BYTES): LinearMemory {
  const memory = new WebAssembly.Memory({
    initial: Math.max(1, Math.ceil((sizeBytes + FIRST_OFFSET) / PAGE_BYTES)),
    maximum: MEMORY_BYTES_MAX / PAGE_BYTES,
  })
  const buffer = (memory as ResizableMemory).toResizableBuffer()
  const bytes = new Uint8Array(buffer)
  let used = FIRST_OFFSET
  const free = new Map<number, number[]>()
  return {
    memory,
    bytes,
    allocate(wantedBytes: number, alignBytes: number = 64): number {
      const reused = takeAligned(free.get(wantedBytes), alignBytes)
      if (reused !== undefined) return reused
      const offset = Math.ceil(used / alignBytes) * alignBytes
      const end = offset + wantedBytes
      assert(end <= MEMORY_BYTES_MAX, `linear memory is bounded: ${end} bytes wanted`)
      const missing = end - buffer.byteLength
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES))
      used = end
      return offset
    },
    release(offset: number, releasedBytes: number): void {
      const areas = free.get(releasedBytes)
      if (areas === undefined) free.set(releasedBytes, [offset])
      else {
        assert(!areas.includes(offset), 'an area is released once')
        areas.push(offset)
      }
    },
  }
}

function takeAligned(areas: number[] | undefined, alignBytes: number): number | undefined {
  const index = areas?.findIndex(offset => offset % alignBytes === 0) ?? -1
  return index < 0 ? undefined : areas?.splice(index, 1)[0]
}

const compiled = new Map<string, WebAssembly.Module>()

/**
 * Instantiates a module that imports its memory; the exports work on addresses inside `memory`. Compiled once
 * per thread. `scalarPath` is the same module built without SIMD, for CPUs on which the runtime has no vectors.
 */
export function openModule<Exports>(memory: LinearMemory, path: string, scalarPath?: string): Exports {
  let module = compiled.get(path)
  if (module === undefined) {
    module = compile(path, scalarPath)
    compiled.set(path, module)
  }
  return new WebAssembly.Instance(module, { env: { memory: memory.memory } }).exports as Exports
}

/** Tried, not validated first: that would read the module twice, in a process that lives for 30 ms. */
function compile(path: string, scalarPath: string | undefined): WebAssembly.Module {
  try {
    return new WebAssembly.Module(readFileSync(path))
  } catch (error) {
    if (scalarPath === undefined || !(error instanceof WebAssembly.CompileError)) throw error
    return new WebAssembly.Module(readFileSync(scalarPath))
  }
}
