import { expect, test } from 'bun:test'
import { collect, streamOf } from '../../../kit/bytes.ts'
import { contentUnlessReplayed } from './sent-states.ts'

function stateOf(totalBytes: number): Uint8Array {
  const state = new Uint8Array(totalBytes).fill(7)
  new DataView(state.buffer).setUint32(4, totalBytes, true)
  return state
}

/** What is packed of a sent file; `undefined`: nothing. The chunks are overwritten as soon as the next one is asked for. */
async function packed(
  name: string,
  content: Uint8Array,
  chunkBytes: number,
): Promise<Uint8Array | undefined> {
  async function* lent(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < content.length; at += chunkBytes) {
      const chunk = content.slice(at, at + chunkBytes)
      yield chunk
      chunk.fill(0xff)
    }
  }
  const kept = await contentUnlessReplayed({ name, sizeBytes: content.length }, lent(), 0x500n)
  return kept === undefined ? undefined : await collect(kept, 1000)
}

test('a state file that a checkpoint was writing while the server sent it is left out, a whole one is packed as it came', async () => {
  const whole = stateOf(200)
  for (const chunkBytes of [1, 3, 8, 150, 200]) {
    for (const name of ['pg_twophase/000004EA', 'pg_twophase/00000000000004EA']) {
      expect(await packed(name, whole, chunkBytes)).toEqual(whole)
      expect(await packed(name, whole.subarray(0, 196), chunkBytes)).toBeUndefined()
      expect(await packed(name, whole.subarray(0, 5), chunkBytes)).toBeUndefined()
      expect(await packed(name, whole.subarray(0, 0), chunkBytes)).toBeUndefined()
    }
  }
})

test('a state file of a transaction that began later is left out', async () => {
  expect(await packed('pg_twophase/000004FF', stateOf(100), 100)).toEqual(stateOf(100))
  expect(await packed('pg_twophase/00000500', stateOf(100), 100)).toBeUndefined()
  expect(await packed('pg_twophase/0000000000000500', stateOf(100), 100)).toBeUndefined()
})

test('other files pass untouched', async () => {
  const content = streamOf(new Uint8Array(3))
  for (const name of ['pg_twophase/notes', 'base/5/00000500', '00000500', 'pg_xact/0000']) {
    expect(await contentUnlessReplayed({ name, sizeBytes: 3 }, content, 0x500n)).toBe(content)
  }
})
