import path from 'node:path'
import { parseArgs } from 'node:util'
import { parseByteSize } from '../src/kit/sizes.ts'
import { MAJORS, type Major } from '../test/support/postgres-binaries.ts'

export type Command =
  | 'stages'
  | 'variants'
  | 'encryption'
  | 'start'
  | 'wal-push'
  | 'wal-fetch'
  | 'backup-push'
  | 'backup-fetch'
  | 'delta-push'
  | 'chain-fetch'
export const COMMANDS: readonly Command[] = [
  'stages',
  'variants',
  'encryption',
  'start',
  'wal-push',
  'wal-fetch',
  'backup-push',
  'backup-fetch',
  'delta-push',
  'chain-fetch',
]
export type DataSetName = 'tables' | 'pgbench' | 'incompressible' | 'small-files'
export const DATA_SETS: readonly DataSetName[] = ['tables', 'pgbench', 'incompressible', 'small-files']
export type Method = 'lz4' | 'zstd' | 'brotli' | 'lzma' | 'none'
export const METHODS: readonly Method[] = ['lz4', 'zstd', 'brotli', 'lzma', 'none']

export interface BenchOptions {
  readonly sizeBytes: number
  readonly runs: number
  readonly walRuns: number
  readonly commands: readonly Command[]
  readonly dataSets: readonly DataSetName[]
  readonly methods: readonly Method[]
  /** The program under test. */
  readonly program: string
  /** An original, when one is given. */
  readonly peerProgram: string | undefined
  /** Names of contenders to run; all when empty. */
  readonly peers: readonly string[]
  /** Of the server; from 17 on it sums up its WAL. */
  readonly major: Major
}

export const USAGE: string = `usage: npm run bench -- [options]
  --size SIZE            of each data set (default 1GB), e.g. 200MB
  --runs N               of each backup command, in turn with its peers (default 5)
  --wal-runs N           of each WAL command and of the start (default 15)
  --command A,B          ${COMMANDS.join(', ')} (default: all)
  --data A,B             ${DATA_SETS.join(', ')} (default: all)
  --method A,B           ${METHODS.join(', ')} (default: lz4,zstd)
  --peer-wal-g PATH      an original wal-g to run against
  --peer A,B             only these peers (names as in the tables)
  --wal-g PATH           the program under test (default: dist/wal-g)
  --postgres MAJOR       of the server (default 15); from 17 on deltas know their blocks from its WAL summaries
  --storage s3           to an S3 on loopback that keeps nothing, beside the same to files`

/** Reads the command line; throws an Error that says what is wrong. */
export function readOptions(args: readonly string[], root: string): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: '1GB' },
      runs: { type: 'string', default: '5' },
      'wal-runs': { type: 'string', default: '15' },
      command: { type: 'string', default: COMMANDS.join(',') },
      data: { type: 'string', default: DATA_SETS.join(',') },
      method: { type: 'string', default: 'lz4,zstd' },
      'peer-wal-g': { type: 'string' },
      peer: { type: 'string', default: '' },
      'wal-g': { type: 'string', default: path.join(root, 'dist/wal-g') },
      postgres: { type: 'string', default: '15' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const peerProgram = values['peer-wal-g']
  return {
    sizeBytes: parseByteSize(values.size),
    runs: positive(values.runs),
    walRuns: positive(values['wal-runs']),
    commands: chosen(values.command, COMMANDS),
    dataSets: chosen(values.data, DATA_SETS),
    methods: chosen(values.method, METHODS),
    program: path.resolve(values['wal-g']),
    peerProgram: peerProgram === undefined ? undefined : path.resolve(peerProgram),
    peers: values.peer.split(',').filter(Boolean),
    major: majorOf(values.postgres),
  }
}

function chosen<T extends string>(text: string, known: readonly T[]): T[] {
  const names = text.split(',').filter(Boolean)
  const foreign = names.find(name => !known.includes(name as T))
  if (foreign !== undefined) throw new Error(`"${foreign}" is none of ${known.join(', ')}`)
  return known.filter(name => names.includes(name))
}

function majorOf(text: string): Major {
  const found = MAJORS.find(major => String(major) === text)
  if (found === undefined) throw new Error(`"${text}" is none of ${MAJORS.join(', ')}`)
  return found
}

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`"${text}" is no count`)
  return value
}
