import { expect, test } from 'bun:test'
import { constants } from 'node:fs'
import { LossyDisk } from './lossy-disk.ts'

test('a sync that began earlier and ends later takes back nothing of what another one has made safe', () => {
  const disk = new LossyDisk([])
  const folder = disk.addDirectory('/folder')
  const begin = (id: string, call: 'open' | 'fsync', ...args: (string | number)[]): void =>
    disk.apply({ kind: 'begin', id, call, args })
  const end = (id: string, result: number | null = null): void => disk.apply({ kind: 'end', id, result })
  begin('1', 'open', '/folder', constants.O_RDONLY)
  end('1', 10)
  begin('early', 'fsync', 10)
  begin('2', 'open', '/folder/file', constants.O_CREAT | constants.O_WRONLY)
  end('2', 11)
  begin('late', 'fsync', 10)
  end('late')
  expect([...folder.synced.keys()]).toEqual(['file'])
  end('early')
  expect([...folder.synced.keys()]).toEqual(['file'])
  expect(folder.pending).toEqual([])
})

test('what comes while a sync is under way is not safe by it', () => {
  const disk = new LossyDisk([])
  const folder = disk.addDirectory('/folder')
  disk.apply({ kind: 'begin', id: '1', call: 'open', args: ['/folder', constants.O_RDONLY] })
  disk.apply({ kind: 'end', id: '1', result: 10 })
  disk.apply({ kind: 'begin', id: 'sync', call: 'fsync', args: [10] })
  disk.apply({ kind: 'begin', id: '2', call: 'open', args: ['/folder/file', constants.O_CREAT] })
  disk.apply({ kind: 'end', id: '2', result: 11 })
  disk.apply({ kind: 'end', id: 'sync', result: null })
  expect([...folder.synced.keys()]).toEqual([])
  expect(folder.pending.length).toBe(1)
})
