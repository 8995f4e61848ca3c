/**
 * `npm run bench -- --storage s3`: to an S3 on loopback that keeps nothing, beside the same to files. What the storage
 * costs, not what a network does.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { parseByteSize } from '../src/kit/sizes.ts'
import { startCluster } from '../test/support/cluster.ts'
import { cleanUpNow } from '../test/support/leftovers.ts'
import { tempDirectory } from '../test/support/temp-directory.ts'
import { segmentName, walBytes } from '../test/support/wal-bytes.ts'
import { type CommandLine, peakMemory, time } from './measure.ts'

const MIB = 1 << 20
const LISTED_OBJECTS = 1_000_000
const root = path.dirname(import.meta.dir)

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    storage: { type: 'string' },
    size: { type: 'string', default: '1GB' },
    runs: { type: 'string', default: '5' },
    'wal-runs': { type: 'string', default: '15' },
    'peer-wal-g': { type: 'string' },
    'wal-g': { type: 'string', default: path.join(root, 'dist/wal-g') },
  },
})
const program = values['wal-g']

async function main(): Promise<void> {
  await using empty = await startSink(0)
  await using full = await startSink(LISTED_OBJECTS)
  using place = tempDirectory('bench-s3')
  const toS3 = (sink: Sink): Record<string, string> => ({
    WALG_S3_PREFIX: 's3://bucket/main',
    AWS_ENDPOINT: `http://127.0.0.1:${sink.port}`,
    AWS_REGION: 'us-east-1',
    AWS_S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
    // as over https; over http the default is to sign
    S3_SIGN_PAYLOAD: 'false',
  })
  const toFiles = { WALG_FILE_PREFIX: place.at('files') }
  const segment = place.at(segmentName(1))
  writeFileSync(segment, walBytes(segmentName(1)))

  const runs = Number(values.runs)
  const walRuns = Number(values['wal-runs'])
  const push = (env: Record<string, string>, file = program): CommandLine => ({
    file,
    args: ['wal-push', segment],
    env,
  })
  const fresh = (): Record<string, string> => {
    mkdirSync(place.at('wal'), { recursive: true })
    return { WALG_FILE_PREFIX: place.at('wal'), WALG_PREVENT_WAL_OVERWRITE: 'false' }
  }
  report('start, listing an empty bucket', walRuns, {
    'to S3': () => ({ file: program, args: ['backup-list'], env: toS3(empty) }),
  })
  report('wal-push of a segment', walRuns, {
    'to files': () => push(fresh()),
    'to S3': () => push(toS3(empty)),
    ...(values['peer-wal-g'] === undefined
      ? {}
      : { 'original to S3': () => push(toS3(empty), values['peer-wal-g']!) }),
  })
  report('listing a million segments (wal-show)', 1, {
    'from S3': () => ({ file: program, args: ['wal-show'], env: toS3(full) }),
  })

  await using cluster = await startCluster({ major: 16 })
  const rows = Math.floor(parseByteSize(values.size) / 1000)
  await cluster.query(
    `create table t as select g, (select string_agg(md5((g * 31 + i)::text), ' ') from generate_series(1, 27) i) as text
      from generate_series(1, ${rows}) g`,
  )
  await cluster.stop()
  const backup = (env: Record<string, string>, method: string, file = program): CommandLine => ({
    file,
    args: ['backup-push', cluster.dataDirectory, '--full'],
    env: { ...env, WALG_COMPRESSION_METHOD: method },
  })
  // a repository of its own for each run: the name of the backup is always the same
  let count = 0
  const own = (): Record<string, string> => ({ ...toS3(empty), WALG_S3_PREFIX: `s3://bucket/run-${count++}` })
  const ownFiles = (): Record<string, string> => {
    rmSync(place.at('files'), { recursive: true, force: true })
    mkdirSync(place.at('files'))
    return toFiles
  }
  for (const method of ['lz4', 'zstd', 'none']) {
    report(`backup-push of a directory at rest, ${method}`, runs, {
      'to files': () => backup(ownFiles(), method),
      'to S3': () => backup(own(), method),
      'to S3, payload signed': () => backup({ ...own(), S3_SIGN_PAYLOAD: 'true' }, method),
    })
  }
  const peak = await peakMemory(backup(own(), 'none'))
  const peakListing = await peakMemory({ file: program, args: ['wal-show'], env: toS3(full) })
  console.log(`\npeak memory of wal-show over a million segments: ${Math.round(peakListing / MIB)} MiB`)
  console.log(`peak memory of backup-push to S3: ${Math.round(peak / MIB)} MiB`)
}

interface Sink extends AsyncDisposable {
  readonly port: number
}

async function startSink(listedObjects: number): Promise<Sink> {
  const file = path.join(import.meta.dir, 's3-sink.ts')
  const child = Bun.spawn([process.execPath, file, String(listedObjects)], { stdout: 'pipe' })
  const reader = child.stdout.getReader()
  const { value } = await reader.read()
  return {
    port: Number(new TextDecoder().decode(value)),
    async [Symbol.asyncDispose]() {
      child.kill()
      await child.exited
    },
  }
}

/** Medians of runs in turn. */
function report(title: string, runs: number, contest: Readonly<Record<string, () => CommandLine>>): void {
  const readings = Object.keys(contest).map(name => ({ name, wallMs: [] as number[], cpuMs: [] as number[] }))
  for (let run = 0; run < runs; run++) {
    for (const reading of readings) {
      const { wallMs, cpuMs } = time(contest[reading.name]!())
      reading.wallMs.push(wallMs)
      reading.cpuMs.push(cpuMs)
    }
  }
  console.log(`\n${title} (medians of ${runs})\n\n| | wall | processor |\n|---|---:|---:|`)
  for (const { name, wallMs, cpuMs } of readings) {
    console.log(`| ${name} | ${Math.round(median(wallMs))} ms | ${Math.round(median(cpuMs))} ms |`)
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
}

try {
  await main()
} finally {
  await cleanUpNow()
}
