import { expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { operationContext } from '../../../test/support/operation-context.ts'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { walShow } from './wal-show.ts'

test('a damaged history costs the parent of its timeline, and is told; everything else is shown', async () => {
  using place = tempDirectory('wal-show')
  mkdirSync(place.at('wal_005'))
  for (const name of ['000000010000000000000001', '000000020000000000000002', '000000030000000000000004']) {
    writeFileSync(place.at(`wal_005/${name}.lz4`), 'x')
  }
  writeFileSync(place.at('wal_005/00000002.history.lz4'), 'x')
  writeFileSync(place.at('wal_005/00000003.history'), '2\t0/3000000\twhy\n')
  const context = await operationContext(place.path)
  const shown = await walShow(context, { segmentBytes: 16 << 20 })
  expect(
    shown.map(({ timeline, parent, switchLsn }) => [Number(timeline), parent, BigInt(switchLsn)]),
  ).toEqual([
    [1, 0, 0n],
    [2, 0, 0n],
    [3, 2, 0x3000000n],
  ])
  expect(context.messages).toEqual([
    expect.stringMatching(/^WARNING: the parent of timeline 2 is not known: .*00000002\.history\.lz4/),
  ])
  await context.storage.close()
})
