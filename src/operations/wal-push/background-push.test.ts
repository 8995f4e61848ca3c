import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { operationContext } from '../../../test/support/operation-context.ts'
import { PushRig } from '../../../test/support/push-rig.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'

let rig: PushRig
beforeEach(async () => {
  rig = await PushRig.open()
})
afterEach(() => rig.close())

const first = segmentName(1)

describe('background pushes', () => {
  test('send the files that are ready, and the server only has them acknowledged afterwards', async () => {
    const names = [1, 2, 3, 4].map(number => segmentName(number))
    for (const name of names) rig.writeSegment(name, { ready: true })
    expect(await rig.push(rig.at(first))).toMatchObject({ pushedInBackground: 3 })
    expect(rig.objects()).toEqual(names.map(name => `${name}.lz4`))
    expect(await rig.push(rig.at(names[1]!), { filesMax: 1 })).toMatchObject({ kind: 'pushed-before' })
  })

  test('come from beside the file that was asked for, never from a PGDATA that it does not lie in', async () => {
    const other = rig.place.at('other')
    mkdirSync(other)
    writeFileSync(join(other, first), walBytes(first))
    const waiting = rig.writeSegment(segmentName(2), { ready: true, systemIdentifier: 42n })
    const options = { dataDirectory: rig.place.path }
    expect(await rig.push(join(other, first), options)).toMatchObject({ pushedInBackground: 0 })
    expect([rig.objects(), existsSync(waiting)]).toEqual([[`${first}.lz4`], true])
  })

  test('respect the limit exactly, and 1 means none', async () => {
    for (const number of [1, 2, 3, 4, 5]) rig.writeSegment(segmentName(number), { ready: true })
    await rig.push(rig.at(first), { filesMax: 1 })
    expect(rig.objects()).toHaveLength(1)
    await rig.push(rig.at(segmentName(2)), { filesMax: 3 })
    expect(rig.objects()).toHaveLength(4)
  })

  test('a record is void when the object has gone, or the file or the place is another', async () => {
    const second = segmentName(2)
    for (const name of [first, second]) rig.writeSegment(name, { ready: true })
    await rig.push(rig.at(first))
    rmSync(join(rig.root, 'wal_005', `${second}.lz4`))
    expect(await rig.push(rig.at(second), { filesMax: 1 })).toMatchObject({ kind: 'stored' })

    const third = segmentName(3)
    rig.writeSegment(third, { ready: true })
    await rig.push(rig.at(first))
    rig.writeSegment(third, { salt: 5 })
    await expect(rig.push(rig.at(third), { filesMax: 1 })).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })

    const elsewhere = rig.place.at('elsewhere')
    mkdirSync(elsewhere)
    const fourth = segmentName(4)
    rig.writeSegment(fourth, { ready: true })
    await rig.push(rig.at(first))
    const other = await operationContext(elsewhere)
    expect(await rig.push(rig.at(fourth), { filesMax: 1 }, other)).toMatchObject({ kind: 'stored' })
    expect(existsSync(join(elsewhere, 'wal_005', `${fourth}.lz4`))).toBe(true)
  })

  test('the record of a partial segment never stands for the complete one', async () => {
    const second = segmentName(2)
    rig.writeSegment(first, { ready: true })
    rig.write(`${second}.partial`, walBytes(second).subarray(0, MIB / 2))
    rig.markReady(`${second}.partial`)
    await rig.push(rig.at(first))
    expect(rig.objects()).toContain(`${second}.partial.lz4`)
    rig.writeSegment(second)
    expect(await rig.push(rig.at(second))).toMatchObject({ kind: 'stored' })
    expect(await rig.archived(second)).toEqual(walBytes(second))
  })

  test('begin with the segments that follow, whatever else waits; then come histories and the rest', async () => {
    for (const number of [1, 2, 5, 6, 8]) rig.writeSegment(segmentName(number), { ready: true })
    rig.write('00000002.history', '1\t0/9000000\tno recovery target specified\n')
    rig.markReady('00000002.history')
    await rig.push(rig.at(segmentName(5)), { filesMax: 2 })
    expect(rig.objects()).toEqual([5, 6].map(number => `${segmentName(number)}.lz4`))
    await rig.push(rig.at(segmentName(6)), { filesMax: 3 })
    expect(rig.objects()).toEqual(
      ['00000002.history.lz4', ...[1, 5, 6].map(number => `${segmentName(number)}.lz4`)].sort(),
    )
  })

  test('with PG_READY_RENAME mark what they stored as done', async () => {
    const second = segmentName(2)
    for (const name of [first, second]) rig.writeSegment(name, { ready: true })
    await rig.push(rig.at(first), { readyRename: true })
    expect(readdirSync(rig.at('archive_status')).sort()).toEqual([`${first}.ready`, `${second}.done`])
  })

  test('a failing one does not fail the file that was asked for', async () => {
    const second = segmentName(2)
    for (const name of [first, second]) rig.writeSegment(name, { ready: true })
    mkdirSync(join(rig.root, 'wal_005'))
    writeFileSync(join(rig.root, 'wal_005', `${second}.lz4`), 'not lz4 at all')
    expect(await rig.push(rig.at(first))).toMatchObject({ kind: 'stored', pushedInBackground: 0 })
    expect(rig.context.messages.some(message => message.startsWith('ERROR'))).toBe(true)
  })
})
