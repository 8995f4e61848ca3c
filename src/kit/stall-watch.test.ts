import { expect, test } from 'bun:test'
import { createStallSlots, openStallSlot, stallLabel, watchStalls } from './stall-watch.ts'

test('a call that does not come back is reported once, with what it was doing', async () => {
  const shared = createStallSlots(2)
  const idle = openStallSlot({ shared, slot: 0 })
  const hanging = openStallSlot({ shared, slot: 1 })
  idle.enter(stallLabel('put "quick"'))
  idle.leave()
  hanging.enter(stallLabel('put "a/ü"'))
  const seen: [string, number][] = []
  const reported = new Promise<void>(resolve => {
    const onStall = (what: string, slot: number): void => {
      seen.push([what, slot])
      resolve()
    }
    const close = watchStalls(shared, { timeoutMs: 16, onStall })
    setTimeout(close, 200)
  })
  await reported
  await new Promise(resolve => setTimeout(resolve, 60))
  expect(seen).toEqual([['put "a/ü"', 1]])
})

test('a thread that blocks is seen from another one, which it cannot tell itself', async () => {
  const shared = createStallSlots(1)
  const url = JSON.stringify(new URL('./stall-watch.ts', import.meta.url).href)
  const code = `
    import { openStallSlot, stallLabel } from ${url}
    self.onmessage = ({ data }) => {
      const slot = openStallSlot({ shared: data, slot: 0 })
      slot.enter(stallLabel('write "x" in storage "nfs"'))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    }`
  const blob = URL.createObjectURL(new Blob([code], { type: 'application/typescript' }))
  const worker = new Worker(blob)
  worker.postMessage(shared)
  const what = await new Promise<string>(resolve => {
    const close = watchStalls(shared, {
      timeoutMs: 20,
      onStall(label) {
        close()
        resolve(label)
      },
    })
  })
  worker.terminate()
  URL.revokeObjectURL(blob)
  expect(what).toBe('write "x" in storage "nfs"')
})

test('a label that is too long is cut, not written over the neighbour', () => {
  const shared = createStallSlots(2)
  const first = openStallSlot({ shared, slot: 0 })
  first.enter(stallLabel('x'.repeat(5000)))
  first.leave()
  expect(new Uint8Array(shared, shared.byteLength / 2).every(byte => byte === 0)).toBe(true)
})
