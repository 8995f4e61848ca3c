import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { asClusterUser, clusterUser } from './cluster-user.ts'
import { cacheDirectory, type Major, postgresDirectory, postgresVersion } from './postgres-binaries.ts'
import { tempDirectory } from './temp-directory.ts'

export interface TemplateOptions {
  readonly major: Major
  readonly segmentSizeMiB: number
  readonly checksums: boolean
}

function run(command: string, args: readonly string[], options: object = {}): void {
  const result = spawnSync(command, args, { encoding: 'utf8', cwd: '/', ...options })
  if (result.status !== 0) {
    throw new Error(
      `${command} ${args.join(' ')}: ${result.error ?? `exit ${result.status}`}\n${result.stdout}${result.stderr}`,
    )
  }
}

function copyTree(source: string, target: string): void {
  run('cp', ['-a', '--reflink=auto', source, target])
}

function initdb(dataDirectory: string, options: TemplateOptions): void {
  const checksums = options.checksums ? ['-k'] : options.major >= 18 ? ['--no-data-checksums'] : []
  run(
    path.join(postgresDirectory(options.major), 'bin/initdb'),
    ['-D', dataDirectory, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'].concat(
      checksums,
      `--wal-segsize=${options.segmentSizeMiB}`,
    ),
    { ...asClusterUser, env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' } },
  )
}

/** The folder of an initdb'd cluster with these options; made once, then kept in the cache. */
function template(options: TemplateOptions): string {
  const { major, segmentSizeMiB, checksums } = options
  const name = `template-${postgresVersion(major)}-${segmentSizeMiB}m-${checksums ? 'k' : 'n'}`
  const kept = path.join(cacheDirectory(), name)
  if (existsSync(kept)) return kept
  using workshop = tempDirectory('initdb')
  initdb(workshop.at('data'), options)
  const draft = `${kept}.${process.pid}`
  copyTree(workshop.at('data'), draft)
  try {
    renameSync(draft, kept)
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    if (!existsSync(kept)) throw error // else another test process was quicker
  }
  return kept
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

let serial = 0

/** Copies of one template would all be "the same cluster": gives this one an identifier of its own. */
function renewSystemIdentifier(dataDirectory: string): void {
  const seconds = BigInt(Math.floor(Date.now() / 1000))
  serial += 1
  const identifier = (seconds << 32n) | (BigInt(process.pid & 0xfffff) << 12n) | BigInt(serial & 0xfff)
  const controlFile = path.join(dataDirectory, 'global/pg_control')
  const control = readFileSync(controlFile)
  let crcAt = 200
  while (crc32c(control.subarray(0, crcAt)) !== control.readUInt32LE(crcAt)) {
    crcAt += 4
    if (crcAt > 400) throw new Error(`no checksum found in "${controlFile}"`)
  }
  control.writeBigUInt64LE(identifier, 0)
  control.writeUInt32LE(crc32c(control.subarray(0, crcAt)), crcAt)
  writeFileSync(controlFile, control)
  const walDirectory = path.join(dataDirectory, 'pg_wal')
  for (const name of readdirSync(walDirectory).filter(file => /^[0-9A-F]{24}$/.test(file))) {
    const segment = openSync(path.join(walDirectory, name), 'r+')
    writeSync(segment, control.subarray(0, 8), 0, 8, 24) // the long page header has no checksum
    closeSync(segment)
  }
}

/** A new data directory, as initdb makes it, owned by the cluster's user, with its own system identifier. */
export function newDataDirectory(dataDirectory: string, options: TemplateOptions): void {
  copyTree(template(options), dataDirectory)
  renewSystemIdentifier(dataDirectory)
  giveTreeToClusterUser(dataDirectory)
}

/** chown -R to the cluster's user; nothing to do when the tests do not run as root. */
export function giveTreeToClusterUser(directory: string): void {
  if (process.getuid?.() === 0) run('chown', ['-R', `${clusterUser.uid}:${clusterUser.gid}`, directory])
}
