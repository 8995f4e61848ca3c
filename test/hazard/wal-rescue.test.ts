import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { WalBuilder } from '../postgres/wal-builder.ts'
import { giveTreeToClusterUser } from '../support/cluster-template.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import type { Finished } from '../support/process.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'

const COMPLETE = 6

let place: TempDirectory
let wal: string
let archive: string
/** Of consecutive segments; the last one is unfinished. */
let names: string[]

beforeEach(() => {
  place = tempDirectory('wal-rescue')
  giveToClusterUser(place.path, 0o755)
  wal = place.at('wal')
  archive = place.at('archive')
  mkdirSync(wal)
  mkdirSync(archive)
  names = []
  const builder = new WalBuilder(3n)
  while (builder.segments().length <= COMPLETE) builder.add(new Uint8Array(50_000).fill(7))
  for (const { name, bytes } of builder.segments()) {
    writeFileSync(path.join(wal, name), bytes)
    names.push(name)
  }
  expect(names.length).toBe(COMPLETE + 1)
})
afterEach(() => place.remove())

function push(target: string = wal): Promise<Finished> {
  if (target === wal) giveTreeToClusterUser(place.path)
  return runWalg(['wal-push', target], { env: { WALG_FILE_PREFIX: archive }, asClusterUser: true })
}

function stored(): string[] {
  const folder = path.join(archive, 'wal_005')
  return readdirSync(folder)
    .map(name => name.replace('.lz4', ''))
    .sort()
}

function markReady(...ready: string[]): string {
  const status = path.join(wal, 'archive_status')
  mkdirSync(status)
  for (const name of ready) writeFileSync(path.join(status, `${name}.ready`), '')
  return status
}

const at = (number: number): string => names[number]!
const file = (number: number): string => path.join(wal, at(number))
const without = (...left: number[]): string[] =>
  names.slice(0, COMPLETE).filter((_, number) => !left.includes(number))

describe('wal-push DIRECTORY goes on', () => {
  test('when nothing can be marked .done: all is archived, each mark is named, and the end is an error', async () => {
    const status = markReady(at(0), at(1), at(2), at(3))
    giveTreeToClusterUser(place.path)
    chmodSync(status, 0o555)
    const run = await runWalg(['wal-push', wal], { env: { WALG_FILE_PREFIX: archive }, asClusterUser: true })
    chmodSync(status, 0o755)
    expect(run.exit).toBe(1)
    expect(stored()).toEqual([at(0), at(1), at(2), at(3)])
    for (const number of [0, 1, 2, 3]) {
      expect(run.stderr).toMatch(
        new RegExp(`^WARNING: .*${at(number)} is archived, but cannot be marked .done`, 'm'),
      )
    }
    expect(run.stderr).toContain(
      '4 pushed, 0 already archived, 0 left out, 0 failed, 4 archived but not marked .done',
    )
  })

  test('when a file that is marked .ready is not there, and fails in the end', async () => {
    markReady(at(0), at(1), at(2))
    rmSync(file(1))
    const run = await push()
    expect(run.exit).toBe(1)
    expect(stored()).toEqual([at(0), at(2)])
    expect(run.stderr).toMatch(new RegExp(`^WARNING: .*${at(1)} is not pushed.*marked .ready`, 'm'))
    expect(run.stderr).toContain('2 pushed, 0 already archived, 0 left out, 1 failed')
  })

  test('when a file that is marked .ready is empty, which is neither archived nor marked', async () => {
    const status = markReady(at(0), at(1), at(2))
    truncateSync(file(1), 0)
    const run = await push()
    expect(run.exit).toBe(1)
    expect(stored()).toEqual([at(0), at(2)])
    expect(readdirSync(status).sort()).toEqual([`${at(0)}.done`, `${at(1)}.ready`, `${at(2)}.done`])
    expect(run.stderr).toMatch(
      new RegExp(`^WARNING: .*${at(1)} is not pushed.*file is empty: bring its content from a standby`, 'm'),
    )
    expect(run.stderr).toContain('2 pushed, 0 already archived, 0 left out, 1 failed')
  })

  test('when a segment cannot be read', async () => {
    giveTreeToClusterUser(place.path)
    chmodSync(file(2), 0)
    const run = await push()
    expect(run.exit).toBe(1)
    expect(stored()).toEqual(without(2))
    expect(run.stderr).toMatch(new RegExp(`^WARNING: .*${at(2)} is not pushed.*permission denied`, 'm'))
    expect(run.stderr).toContain('5 pushed, 0 already archived, 1 left out, 1 failed')
  })

  test('when a segment among sound ones is damaged, which is no unfinished one', async () => {
    truncateSync(file(2), 5000)
    const run = await push()
    expect(run.exit).toBe(1)
    expect(stored()).not.toContain(at(2))
    expect(stored()).toEqual(expect.arrayContaining(without(1, 2)))
    expect(run.stderr).toMatch(
      new RegExp(`^WARNING: .*${at(2)} is not pushed, and the archive may lack it`, 'm'),
    )
  })
})

test('without an archive_status a hole is named, and what is before it is pushed', async () => {
  rmSync(file(2))
  rmSync(file(3))
  const run = await push()
  expect(run.exit).toBe(0)
  expect(stored()).toEqual(without(2, 3))
  expect(run.stderr).toMatch(new RegExp(`^WARNING: .*segments ${at(2)} to ${at(3)} are not there`, 'm'))
  expect(run.stderr).toContain('4 pushed, 0 already archived, 1 left out, 0 failed')
})

test('without an archive_status backup histories are pushed, partial segments are listed', async () => {
  writeFileSync(path.join(wal, `${at(1)}.00000028.backup`), 'START WAL LOCATION: 0/1000028\n')
  writeFileSync(path.join(wal, `${at(COMPLETE)}.partial`), 'half')
  const run = await push()
  expect(run.exit).toBe(0)
  expect(stored()).toEqual([...without(), `${at(1)}.00000028.backup`].sort())
  expect(run.stderr).toMatch(new RegExp(`^WARNING: .*${at(COMPLETE)}.partial is not pushed`, 'm'))
})

test('what pg_receivewal has compressed is listed, with the way to decompress it', async () => {
  const compressed = [`${at(1)}.gz`, `${at(2)}.lz4`, `${at(COMPLETE)}.partial.gz`, '00000002.history.gz']
  for (const name of compressed) writeFileSync(path.join(wal, name), 'compressed')
  for (const number of names.keys()) if (number > 0) rmSync(file(number))
  writeFileSync(path.join(wal, `${at(0)}.gz`), 'decompressed already')
  const run = await push()
  expect(run.exit).toBe(0)
  expect(run.stderr.match(/^WARNING: .* is not pushed/gm)?.length).toBe(compressed.length + 1)
  expect(run.stderr).toMatch(new RegExp(`${at(1)}.gz is not pushed: compressed.*\\(gzip -d ${at(1)}.gz\\)`))
  expect(run.stderr).toMatch(
    new RegExp(`${at(2)}.lz4 is not pushed: compressed.*\\(lz4 -d --rm -m ${at(2)}.lz4\\)`),
  )
  expect(run.stderr).toContain(`${at(COMPLETE)}.partial.gz is not pushed: a compressed partial segment`)
  expect(run.stderr).toContain('5 left out, 0 failed')
})
