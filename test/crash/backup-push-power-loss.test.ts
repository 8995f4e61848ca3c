import { expect, test } from 'bun:test'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { backupPush } from '../../src/operations/backup-push/backup-push.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { pushOptions } from '../e2e/push/backup-push-support.ts'
import { startCluster } from '../support/cluster.ts'
import { operationContext } from '../support/operation-context.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { recordFiles } from './file-recording.ts'
import { crashStates, diskBefore } from './power-loss.ts'

const MIB = 1024 * 1024

/** A directory at rest that is as small as PostgreSQL's can be: its relations are not needed here. */
async function smallDirectory(data: string): Promise<void> {
  await using cluster = await startCluster({ major: 16, segmentSizeMiB: 1 })
  await cluster.stop()
  cpSync(cluster.dataDirectory, data, { recursive: true })
  for (const database of readdirSync(path.join(data, 'base'))) {
    const folder = path.join(data, 'base', database)
    for (const file of readdirSync(folder)) if (Number(file) % 97 !== 0) rmSync(path.join(folder, file))
  }
}

test('a backup is whole on the disk before its sentinel is, whenever the power fails', async () => {
  using directory = tempDirectory('power')
  const data = directory.at('data')
  await smallDirectory(data)
  const root = directory.at('root')
  mkdirSync(root)
  const before = diskBefore(root)
  const recording = recordFiles(directory.at('log'))
  const context = await operationContext(root)
  const storageDescription = {
    ...context.storageDescription,
    driver: { kind: 'fs' as const, root, isDurable: true, systemModule: recording.systemModule },
  }
  const storage = await openStorage(storageDescription)
  const options = pushOptions(data, { walSegmentBytes: MIB, partBytesMax: 400_000 })
  const { name } = await backupPush({ ...context, storage, storageDescription }, options)
  recording.acknowledge(name)

  const whole = new Map<string, Buffer>()
  for (const key of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (statSync(path.join(root, key)).isFile())
      whole.set(path.join(root, key), readFileSync(path.join(root, key)))
  }
  const sentinel = path.join(root, 'basebackups_005', `${name}_backup_stop_sentinel.json`)
  expect(whole.has(sentinel)).toBe(true)
  expect(whole.size).toBeGreaterThan(7)

  let withSentinel = 0
  let acknowledged = 0
  for (const state of crashStates(before, recording.read(), [root])) {
    const isAcknowledged = state.acknowledged.includes(name)
    if (isAcknowledged) acknowledged += 1
    if (isAcknowledged && !state.files.has(sentinel)) throw new Error(`the sentinel is lost: ${state.way}`)
    if (!state.files.has(sentinel)) continue
    withSentinel += 1
    for (const [file, content] of whole) {
      if (state.files.get(file)?.equals(content) === true) continue
      throw new Error(
        `with the sentinel there, "${file}" is not whole: ${state.way}, after ${state.events} calls`,
      )
    }
  }
  expect(withSentinel).toBeGreaterThan(0)
  expect(acknowledged).toBeGreaterThan(0)
}, 120_000)
