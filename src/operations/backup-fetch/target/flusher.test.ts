import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fs from 'node:fs'
import { Worker } from 'node:worker_threads'
import { type TempDirectory, tempDirectory } from '../../../../test/support/temp-directory.ts'
import { hasCode } from '../../../kit/errors.ts'
import { createFlushRing, FlushRing, type FlushRingData } from './flush-ring.ts'
import { Flusher } from './flusher.ts'

let folder: TempDirectory
let data: FlushRingData
let workers: Worker[]

beforeEach(() => {
  folder = tempDirectory('flusher')
  data = createFlushRing(2)
  workers = []
})
afterEach(async () => {
  new FlushRing(data).stop()
  await Promise.all(workers.map(worker => worker.terminate()))
  folder.remove()
})

function startThreads(count: number): void {
  for (let thread = 0; thread < count; thread++) {
    const worker = new Worker(new URL('../part/flush-worker.ts', import.meta.url))
    worker.postMessage(data)
    workers.push(worker)
  }
}

function flusher(lane = 0): Flusher {
  return new Flusher({ isDurable: true, ring: data, lane, checkStop: () => {} })
}

function openFile(name: string): number {
  const fd = fs.openSync(folder.at(name), 'w')
  fs.writeSync(fd, name)
  return fd
}

const isOpen = (fd: number, name: string): boolean => {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`) === folder.at(name)
  } catch {
    return false
  }
}

describe('flushing in other threads', () => {
  test('closes every file of every lane, more than fit at a time', () => {
    startThreads(3)
    const lanes = [flusher(0), flusher(1)]
    const files: [number, string][] = []
    for (let index = 0; index < 300; index++) {
      const name = `file${index}`
      const fd = openFile(name)
      files.push([fd, name])
      lanes[index % 2]!.writeBack(fd, name)
      lanes[index % 2]!.finish(fd, name)
    }
    for (const lane of lanes) lane.drain()
    expect(files.filter(([fd, name]) => isOpen(fd, name))).toEqual([])
  })

  test('does it here when there are no other threads, or all are busy', () => {
    const alone = new Flusher({ isDurable: true, ring: null, lane: 0, checkStop: () => {} })
    const fd = openFile('alone')
    alone.finish(fd, 'alone')
    alone.drain()
    expect(isOpen(fd, 'alone')).toBe(false)
    const busy = flusher()
    const files = Array.from(
      { length: 40 },
      (_, index) => [openFile(`busy${index}`), `busy${index}`] as const,
    )
    for (const [file, name] of files) busy.finish(file, name)
    expect(files.filter(([file, name]) => isOpen(file, name)).length).toBeLessThan(40)
    startThreads(1)
    busy.drain()
    expect(files.filter(([file, name]) => isOpen(file, name))).toEqual([])
  })

  test('a failure of another thread names the file, and does not haunt the next part', () => {
    startThreads(1)
    const failing = flusher()
    failing.finish(9999, '/some/file')
    let error: unknown
    try {
      failing.drain()
    } catch (thrown) {
      error = thrown
    }
    expect(hasCode(error, 'FILE_ACCESS')).toBe(true)
    expect(String(error)).toContain('"/some/file"')
    expect(String(error)).toContain('EBADF')
    flusher().drain()
  })

  test('waiting ends when the work is to stop', () => {
    let asked = 0
    const stopping = new Flusher({
      isDurable: true,
      ring: data,
      lane: 0,
      checkStop: () => {
        asked++
        throw new Error('stop')
      },
    })
    stopping.finish(openFile('never'), 'never')
    expect(() => stopping.drain()).toThrow('stop')
    expect(asked).toBe(1)
  })
})
