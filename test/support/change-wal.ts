import { WalBuilder } from '../postgres/wal-builder.ts'
import type { SeededRandom } from './seeded-random.ts'

/** Segments of 1 MiB full of records that touch blocks of a few relations, and some that cut or drop one. */
export function changeWal(
  random: SeededRandom,
  firstSegment: number,
  count: number,
): { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> }[] {
  const builder = new WalBuilder(BigInt(firstSegment))
  const end = BigInt(firstSegment + count) * BigInt(builder.segmentBytes)
  while (builder.lsn < end) addRecord(builder, random)
  return builder.segments().slice(0, count)
}

function addRecord(builder: WalBuilder, random: SeededRandom): void {
  const relation = 16_384 + random.int(20)
  if (random.int(60) === 0) {
    const body = new Uint8Array(2 + 20)
    const view = new DataView(body.buffer)
    body.set([255, 20])
    for (const [index, value] of [random.int(5000), 1663, 5, relation, 7].entries()) {
      view.setUint32(2 + 4 * index, value, true)
    }
    builder.add(body, { rmgr: 2, info: 0x21 })
    return
  }
  const dataBytes = random.pick([20, 200, 9000, 40_000, 60_000])
  const body = new Uint8Array(20 + 5 + dataBytes)
  const view = new DataView(body.buffer)
  view.setUint32(4, 1663, true)
  view.setUint32(8, 5, true)
  view.setUint32(12, relation, true)
  view.setUint32(16, random.int(10_000), true)
  view.setUint8(20, 254)
  view.setUint32(21, dataBytes, true)
  builder.add(body)
}
