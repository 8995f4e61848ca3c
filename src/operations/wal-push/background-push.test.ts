import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { PushRig } from '../../../test/support/push-rig.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'

let rig: PushRig
let wal: string
let root: string
let context: TestContext

beforeEach(async () => {
  rig = await PushRig.open()
  wal = rig.wal
  root = rig.root
  context = rig.context
})
afterEach(() => rig.close())

const first = segmentName(1)

const writeSegment: PushRig['writeSegment'] = (...how) => rig.writeSegment(...how)
const push: PushRig['push'] = (...what) => rig.push(...what)
const archived: PushRig['archived'] = name => rig.archived(name)
const objects = (): string[] => rig.objects()

describe('background pushes', () => {
  test('send the files that are ready, and the server only has them acknowledged afterwards', async () => {
    const names = [1, 2, 3, 4].map(number => segmentName(number))
    for (const name of names) writeSegment(name, { ready: true })
    expect(await push(join(wal, first))).toMatchObject({ pushedInBackground: 3 })
    expect(objects()).toEqual(names.map(name => `${name}.lz4`))
    expect(await push(join(wal, names[1]!), { filesMax: 1 })).toMatchObject({ kind: 'pushed-before' })
  })

  test('come from beside the file that was asked for, never from a PGDATA that it does not lie in', async () => {
    const other = rig.place.at('other')
    mkdirSync(other)
    writeFileSync(join(other, first), walBytes(first))
    const waiting = writeSegment(segmentName(2), { ready: true, systemIdentifier: 42n })
    const options = { dataDirectory: rig.place.path }
    expect(await push(join(other, first), options)).toMatchObject({ pushedInBackground: 0 })
    expect([objects(), existsSync(waiting)]).toEqual([[`${first}.lz4`], true])
  })

  test('respect the limit exactly, and 1 means none', async () => {
    for (const number of [1, 2, 3, 4, 5]) writeSegment(segmentName(number), { ready: true })
    await push(join(wal, first), { filesMax: 1 })
    expect(objects()).toHaveLength(1)
    await push(join(wal, segmentName(2)), { filesMax: 3 })
    expect(objects()).toHaveLength(4)
  })

  test('a record is void when the object has gone, or the file or the place is another', async () => {
    const second = segmentName(2)
    for (const name of [first, second]) writeSegment(name, { ready: true })
    await push(join(wal, first))
    rmSync(join(root, 'wal_005', `${second}.lz4`))
    expect(await push(join(wal, second), { filesMax: 1 })).toMatchObject({ kind: 'stored' })

    const third = segmentName(3)
    writeSegment(third, { ready: true })
    await push(join(wal, first))
    writeSegment(third, { salt: 5 })
    await expect(push(join(wal, third), { filesMax: 1 })).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })

    const elsewhere = rig.place.at('elsewhere')
    mkdirSync(elsewhere)
    const fourth = segmentName(4)
    writeSegment(fourth, { ready: true })
    await push(join(wal, first))
    const other = await operationContext(elsewhere)
    expect(await push(join(wal, fourth), { filesMax: 1 }, other)).toMatchObject({ kind: 'stored' })
    expect(existsSync(join(elsewhere, 'wal_005', `${fourth}.lz4`))).toBe(true)
  })

  test('the record of a partial segment never stands for the complete one', async () => {
    const second = segmentName(2)
    writeSegment(first, { ready: true })
    writeFileSync(join(wal, `${second}.partial`), walBytes(second).subarray(0, MIB / 2))
    writeFileSync(join(wal, 'archive_status', `${second}.partial.ready`), '')
    await push(join(wal, first))
    expect(objects()).toContain(`${second}.partial.lz4`)
    writeSegment(second)
    expect(await push(join(wal, second))).toMatchObject({ kind: 'stored' })
    expect(await archived(second)).toEqual(walBytes(second))
  })

  test('begin with the segments that follow, whatever else waits; then come histories and the rest', async () => {
    for (const number of [1, 2, 5, 6, 8]) writeSegment(segmentName(number), { ready: true })
    writeFileSync(join(wal, '00000002.history'), '1\t0/9000000\tno recovery target specified\n')
    writeFileSync(join(wal, 'archive_status', '00000002.history.ready'), '')
    await push(join(wal, segmentName(5)), { filesMax: 2 })
    expect(objects()).toEqual([5, 6].map(number => `${segmentName(number)}.lz4`))
    await push(join(wal, segmentName(6)), { filesMax: 3 })
    expect(objects()).toEqual(
      ['00000002.history.lz4', ...[1, 5, 6].map(number => `${segmentName(number)}.lz4`)].sort(),
    )
  })

  test('with PG_READY_RENAME mark what they stored as done', async () => {
    const second = segmentName(2)
    for (const name of [first, second]) writeSegment(name, { ready: true })
    await push(join(wal, first), { readyRename: true })
    expect(readdirSync(join(wal, 'archive_status')).sort()).toEqual([`${first}.ready`, `${second}.done`])
  })

  test('a failing one does not fail the file that was asked for', async () => {
    const second = segmentName(2)
    for (const name of [first, second]) writeSegment(name, { ready: true })
    mkdirSync(join(root, 'wal_005'))
    writeFileSync(join(root, 'wal_005', `${second}.lz4`), 'not lz4 at all')
    expect(await push(join(wal, first))).toMatchObject({ kind: 'stored', pushedInBackground: 0 })
    expect(context.messages.some(message => message.startsWith('ERROR'))).toBe(true)
  })
})
