/**
 * Peak memory of a full backup, of a delta with nothing changed, of a delta with every tenth file changed, and of the restore of that
 * chain, with very many files. Usage: bun bench/many-files.ts [files, default 1000000] [compression, default lz4]
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startCluster } from '../test/support/cluster.ts'
import { giveTreeToClusterUser } from '../test/support/cluster-template.ts'
import { tempDirectory } from '../test/support/temp-directory.ts'
import { walgBinary, walgCommand } from '../test/support/walg.ts'
import { peakMemory } from './measure.ts'

const FILES_PER_FOLDER = 10_000
const [countText = '1000000', compression = 'lz4'] = process.argv.slice(2)
const count = Number(countText)

using place = tempDirectory('many-files')
const repository = place.at('repository')
mkdirSync(repository, { mode: 0o777 })
giveTreeToClusterUser(repository)
const settings = {
  WALG_FILE_PREFIX: repository,
  WALG_COMPRESSION_METHOD: compression,
  WALG_DELTA_MAX_STEPS: '5',
}
await using cluster = await startCluster({ major: 16, archiveCommand: walgCommand(settings, 'wal-push %p') })
const folderOf = (number: number): string =>
  path.join(cluster.dataDirectory, 'base', String(100_000 + Math.floor(number / FILES_PER_FOLDER)))
const write = (number: number, text: string): void =>
  writeFileSync(path.join(folderOf(number), String(20_000 + number)), text.padEnd(100, '.'))

for (let number = 0; number < count; number++) {
  if (number % FILES_PER_FOLDER === 0) mkdirSync(folderOf(number))
  write(number, `file ${number}`)
}
giveTreeToClusterUser(path.join(cluster.dataDirectory, 'base'))
// what is younger than a backup is read again
await Bun.sleep(3000)

async function run(title: string, ...args: readonly string[]): Promise<void> {
  const begunMs = performance.now()
  const peakBytes = await peakMemory({
    file: walgBinary(),
    args,
    env: { HOME: place.path, ...settings, ...cluster.environment },
  })
  const seconds = (performance.now() - begunMs) / 1000
  console.log(`${title.padEnd(34)} ${(peakBytes / 2 ** 20).toFixed(0)} MiB, ${seconds.toFixed(0)} s`)
}

await run('full backup', 'backup-push', cluster.dataDirectory)
await run('delta, nothing changed', 'backup-push', cluster.dataDirectory)
for (let number = 0; number < count; number += 10) write(number, `changed ${number}`)
await run('delta, every tenth file changed', 'backup-push', cluster.dataDirectory)
await run('restore of the chain', 'backup-fetch', place.at('restored'), 'LATEST')
