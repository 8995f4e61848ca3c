// `npm run bench`: ours and its peers in turn, on data made here; prints Markdown.
import { spawnSync } from 'node:child_process'
import { availableParallelism, totalmem } from 'node:os'
import path from 'node:path'
import { cleanUpNow } from '../test/support/leftovers.ts'
import { contestBackupFetch, contestBackupPush } from './backup-contests.ts'
import type { Standing } from './contest.ts'
import { buildDataSet, treeBytes } from './data-sets.ts'
import { contestChainFetch, contestDeltaPush } from './delta-contests.ts'
import {
  contestSealedFetch,
  contestSealedPush,
  contestSealedWalPush,
  sealings,
} from './encryption-contests.ts'
import { type BenchOptions, type Command, type DataSetName, readOptions, USAGE } from './options.ts'
import { openPlace, type Place } from './place.ts'
import { renderStandings, renderTable } from './report.ts'
import { measureStages } from './stage-speeds.ts'
import { contestFetchVariants, contestPushVariants, contestWalPushVariants } from './variant-contests.ts'
import { contestStart, contestWalFetch, contestWalPush } from './wal-contests.ts'

const root = path.dirname(import.meta.dir)
const skipped = new Set<string>()

function skip(name: string, reason: string): void {
  skipped.add(`${name}: ${reason}`)
}

function print(title: string, standings: readonly Standing[]): void {
  console.log(renderStandings(title, standings))
}

async function main(options: BenchOptions): Promise<void> {
  describeMachine(options)
  if (wants(options, 'stages')) console.log(`\n${renderTable(await measureStages())}`)
  if (options.commands.every(command => command === 'stages')) return
  for (const [index, name] of options.dataSets.entries()) {
    await using cluster = await buildDataSet(name, options.sizeBytes, options.major)
    const place = openPlace(options, cluster)
    try {
      if (index === 0) await runSmallContests(place)
      if (index === 0 && wants(options, 'variants')) await runVariants(place)
      if (index === 0 && wants(options, 'encryption')) await runSealed(place)
      if (wants(options, 'backup-push', 'backup-fetch', 'delta-push', 'chain-fetch'))
        await runBackupContests(place, name)
    } finally {
      place.directory.remove()
    }
  }
  if (options.peerProgram === undefined) skip('original wal-g', 'none was given with --peer-wal-g')
  for (const line of skipped) console.log(`\nskipped: ${line}`)
}

async function runSmallContests(place: Place): Promise<void> {
  const { options } = place
  if (wants(options, 'start')) print('start (`--version`)', await contestStart(place))
  for (const method of options.methods) {
    if (wants(options, 'wal-push')) print(`wal-push, ${method}`, await contestWalPush(place, method))
    if (wants(options, 'wal-fetch')) print(`wal-fetch, ${method}`, await contestWalFetch(place, method))
  }
}

/** Ours against itself, with a stage left out or put in. */
async function runVariants(place: Place): Promise<void> {
  print('wal-push of a segment, lz4: guards', await contestWalPushVariants(place))
  print('backup-push, lz4: page verification', await contestPushVariants(place))
  print('backup-fetch, lz4: checksums of backup_manifest, durability', await contestFetchVariants(place))
}

/** Encrypted beside plain; what is not compressed tells what encryption costs per byte. */
async function runSealed(place: Place): Promise<void> {
  const ways = await sealings()
  print('wal-push of a segment, zstd', await contestSealedWalPush(place, ways))
  for (const method of ['zstd', 'none'] as const) {
    print(`backup-push, ${method}`, await contestSealedPush(place, ways, method))
    print(`backup-fetch, ${method}`, await contestSealedFetch(place, ways, method))
  }
}

async function runBackupContests(place: Place, name: DataSetName): Promise<void> {
  const { options, cluster } = place
  const megabytes = (treeBytes(cluster.dataDirectory) - treeBytes(`${cluster.dataDirectory}/pg_wal`)) / 1e6
  const files = Number(spawnSync('sh', ['-c', `find ${cluster.dataDirectory} -type f | wc -l`]).stdout)
  console.log(`\n### ${name}: ${megabytes.toFixed(0)} MB in ${files} files`)
  for (const method of options.methods) {
    if (wants(options, 'backup-push')) {
      print(`backup-push of ${name}, ${method}`, await contestBackupPush(place, method, skip))
    }
    if (wants(options, 'backup-fetch')) {
      print(`backup-fetch of ${name}, ${method}`, await contestBackupFetch(place, method, skip))
    }
    if (wants(options, 'delta-push')) {
      print(`delta of ${name}, nothing changed, ${method}`, await contestDeltaPush(place, method, 'nothing'))
      print(`delta of ${name}, 1 % of rows updated, ${method}`, await contestDeltaPush(place, method, name))
    }
    if (wants(options, 'chain-fetch')) {
      print(`chain of ${name}, four deltas, ${method}`, await contestChainFetch(place, method, name))
    }
  }
}

function wants({ commands }: BenchOptions, ...names: readonly Command[]): boolean {
  return names.some(name => commands.includes(name))
}

function describeMachine(options: BenchOptions): void {
  const gib = Math.round(totalmem() / 2 ** 30)
  console.log(`${process.platform} ${process.arch}, ${availableParallelism()} cores, ${gib} GiB of memory`)
  const version = (file: string): string => spawnSync(file, ['--version'], { encoding: 'utf8' }).stdout.trim()
  console.log(`\nours: ${version(options.program)}`)
  if (options.peerProgram !== undefined) console.log(`\noriginal: ${version(options.peerProgram)}`)
}

try {
  const options = readOptions(process.argv.slice(2), root)
  if (options === undefined) console.log(USAGE)
  else await main(options)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await cleanUpNow()
}
