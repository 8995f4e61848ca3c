import { expect, test } from 'bun:test'
import { cpSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { extractRepository, readGoldenSets } from '../../golden/golden-cases.ts'
import { runProcess } from '../../support/process.ts'
import { describeUnless, missingInterop, missingReference, reference } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { walgBinary } from '../../support/walg.ts'

const TIMEOUT_MS = 120_000
const reason = missingReference() ?? missingInterop()
const LOG_TIME = /^((?:INFO|WARNING|ERROR): )\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d+ /gm
/** Times of objects differ by run; the column is as wide as its widest. */
const OBJECT_TIME = /\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \+0000 UTC +/g

interface Outcome {
  readonly exit: number | null
  readonly stdout: string
  readonly stderr: readonly string[]
  readonly files: readonly string[]
}

/** Everything below a folder, files only. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .filter(file => !file.startsWith('home/'))
    .sort()
}

/** One run in a folder of its own, without what differs by place, time and our hints. */
async function outcomeOf(program: string, place: TempDirectory, args: readonly string[]): Promise<Outcome> {
  const finished = await runProcess(program, args, {
    cwd: place.path,
    env: {
      PATH: process.env['PATH'],
      HOME: place.at('home'),
      TZ: 'UTC',
      WALG_DOWNLOAD_CONCURRENCY: '1',
      WALG_CONFIG_PATH: place.at('a.yaml'),
    },
  })
  const neutral = (text: string): string =>
    text
      .replaceAll(place.path, '/place')
      .replace(LOG_TIME, '$1')
      .replace(OBJECT_TIME, 'TIME ')
      .replace(/last modified +/g, 'last modified ')
      // Workers of the original end in any order.
      .replace(/(File is transferred \(\d+ left\)): .*/g, '$1')
  const lines = neutral(finished.stderr)
    .split('\n')
    .filter(line => line !== '' && !/^ {2}(?:hint|cause): |^ +--(?:json|re-encrypt) /.test(line))
  return {
    exit: finished.exit,
    stdout: neutral(finished.stdout),
    stderr: lines.some(line => /Copied |File is transferred/.test(line)) ? lines.toSorted() : lines,
    files: filesBelow(place.path),
  }
}

function prepare(place: TempDirectory, fixture: string): void {
  const set = readGoldenSets().find(({ name }) => name === fixture)!
  for (const folder of ['a', 'b', 'c', 'directory', 'home']) mkdirSync(place.at(folder))
  extractRepository(set, place.at('source'))
  cpSync(place.at('source'), place.at('a'), { recursive: true, preserveTimestamps: true })
  writeFileSync(place.at('file'), 'hello\n')
  for (const name of ['source', 'c']) {
    writeFileSync(place.at(`${name}.yaml`), `WALG_FILE_PREFIX: ${place.at(name)}\n`)
  }
  const failover = `WALG_FAILOVER_STORAGES:\n  ST_B:\n    WALG_FILE_PREFIX: ${place.at('b')}\n`
  writeFileSync(place.at('a.yaml'), `WALG_FILE_PREFIX: ${place.at('a')}\n${failover}`)
}

/** In order: each run finds what those before have left. */
const RUNS: readonly string[] = [
  'st ls',
  'st ls -r',
  'st ls wal_005',
  'st ls basebackups_005',
  'st ls basebackups_005 -r',
  'st ls -g base*',
  'st ls -t st_b',
  'st ls -t all',
  'st ls -t ST_B',
  'st ls x y',
  'st put file a/b/file1',
  'st put file a/b/file1',
  'st put file a/b/file1 -f',
  'st put file k --no-compress',
  'st put file k',
  'st put file k --no-compress',
  'st put directory q',
  'st put missing q',
  'st put file',
  'st put file /abs/ -t all',
  'st stat a/b/file1.lz4',
  'st stat -g a',
  'st stat',
  'st cat k',
  'st cat k.lz4 --decompress',
  'st cat -g k*',
  'st cat k -t none',
  'st get k.lz4 copy',
  'st get k.lz4 copy',
  'st get k directory',
  'st get k.lz4 directory/raw --no-decompress',
  'st get k none/x',
  'st get k x -t all',
  'st check read',
  'st check read k a a/b',
  'st check read k1 zz k',
  'st check write',
  'st check write -t all',
  'st check other',
  'st check write x',
  'st',
  'st transfer --help',
  'st transfer backups --help',
  'st rm missing',
  'st rm k',
  'st rm -g k*',
  'st rm a/',
  'st rm abs/ -t all',
  'st rm --version-id x --all-versions k',
  'copy --from source.yaml --to c.yaml --backup-name base_000000010000000000000002',
  'copy --from source.yaml --to c.yaml --backup-name base_000000010000000000000002',
  'copy --from source.yaml --to c.yaml --backup-name LATEST --with-history',
  'copy --from source.yaml --to c.yaml',
  'copy --from source.yaml --to c.yaml --backup-name missing',
  'copy --from source.yaml',
  'st copy --from source.yaml --to c.yaml --prefix wal_005/00000001',
  'st copy --from source.yaml --to c.yaml --prefix missing',
  'st transfer files wal_005',
  'st transfer files wal_005 -s default',
  'st transfer files wal_005 -s default -t all',
  'st transfer files wal_005 -s zz -t st_b',
  'st transfer files wal_005 -s default -t st_b -c 0',
  'st transfer pg-wals -s default -t st_b -p',
  'st transfer pg-wals -s default -t st_b',
  'st transfer pg-wals -s default -t st_b -o',
  'st transfer backups -s default -t st_b',
  'st transfer backups base_000000010000000000000008 -s st_b',
]

/** The same backups in two storages, an older copy of one of them in the first. */
const UNITED_RUNS: readonly string[] = [
  'backup-list',
  'backup-list --json',
  'backup-list --target-storage st_b',
  'delete retain 1',
  'delete retain FULL 2',
  'delete before FIND_FULL base_00000001000000000000000E_D_00000001000000000000000C',
  'delete target base_00000001000000000000000E_D_00000001000000000000000C',
  'wal-fetch 00000001000000000000000C segment',
  'wal-fetch 000000010000000000000055 missing',
  'wal-show',
  'delete before FIND_FULL base_00000001000000000000000E_D_00000001000000000000000C --confirm',
  'backup-list',
  'backup-mark base_00000001000000000000000C',
]

describeUnless(reason, 'the storage tools of both programs, side by side', () => {
  test(
    'the same arguments give the same output, exit status and objects',
    async () => {
      using ours = tempDirectory('st-ours')
      using theirs = tempDirectory('st-original')
      for (const place of [ours, theirs]) prepare(place, 'pg15-lz4-deltas')
      for (const run of RUNS) {
        const args = run.split(' ')
        const original = await outcomeOf(reference()!, theirs, args)
        const own = await outcomeOf(walgBinary(), ours, args)
        expect({ run, ...withoutSizes(own) }).toEqual({ run, ...withoutSizes(original) })
      }
    },
    TIMEOUT_MS,
  )

  test(
    'backups in two storages are listed, fetched from and deleted alike',
    async () => {
      using ours = tempDirectory('united-ours')
      using theirs = tempDirectory('united-original')
      for (const place of [ours, theirs]) {
        prepare(place, 'pg15-marks')
        cpSync(place.at('source'), place.at('b'), { recursive: true, preserveTimestamps: true })
        const sentinel = 'a/basebackups_005/base_000000010000000000000012_backup_stop_sentinel.json'
        utimesSync(place.at(sentinel), 1_767_225_600, 1_767_225_600)
      }
      for (const run of UNITED_RUNS) {
        const args = run.split(' ')
        const original = await outcomeOf(reference()!, theirs, args)
        const own = await outcomeOf(walgBinary(), ours, args)
        // The first run of the original complains of its missing caches; its write probe leaves objects behind.
        const stderr = original.stderr.filter(line => !line.includes('storage status cache file'))
        const files = original.files.filter(file => !file.includes('wal-g_storage_check'))
        expect({ run, ...own }).toEqual({ run, ...original, stderr, files })
      }
    },
    TIMEOUT_MS,
  )
})

/** Only an identical compressor would give objects of the same size. */
function withoutSizes(outcome: Outcome): Outcome {
  // A verb of ours stands in the list of the group.
  const stdout = outcome.stdout.replace(/^gc-uploads .*\n/m, '')
  return { ...outcome, stdout: stdout.replace(/^(obj +)\d+ +/gm, '$1').replace(/^(dir +)0 +/gm, '$1') }
}
