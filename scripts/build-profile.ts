import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { walBytes } from '../test/support/wal-bytes.ts'

const SEGMENT = '000000010000000000000001'
const SEGMENT_BYTES = 16 << 20

/** One file for each run: the functions that it has used, in their order. They are gone when it is disposed of. */
export interface StartProfile extends Disposable {
  readonly files: readonly string[]
}

/**
 * Runs the verbs that PostgreSQL starts for every segment and records which functions they use, so that the compiler puts
 * these side by side: a process that lives for 50 ms then reads a fraction of its bytecode.
 */
export function recordStart(program: string): StartProfile {
  const workshop = mkdtempSync(path.join(tmpdir(), 'wal-g-profile-'))
  const files: string[] = []
  try {
    const configuration = path.join(workshop, 'walg.json')
    writeFileSync(configuration, '{}')
    const segment = path.join(workshop, 'pg_wal', SEGMENT)
    mkdirSync(path.dirname(segment))
    writeFileSync(segment, walBytes(SEGMENT, { segmentBytes: SEGMENT_BYTES }))
    for (const method of ['zstd', 'lz4']) {
      const repository = path.join(workshop, method)
      mkdirSync(repository)
      const fetched = path.join(workshop, `${method}-fetched`)
      for (const args of [
        ['wal-push', segment],
        ['wal-fetch', SEGMENT, fetched],
      ]) {
        const file = path.join(workshop, `order-${files.length}`)
        const env = {
          // in place of the configuration that whoever builds may have at home
          WALG_CONFIG_PATH: configuration,
          HOME: workshop,
          BUN_BYTECODE_ORDER_OUT: file,
          WALG_FILE_PREFIX: repository,
          WALG_COMPRESSION_METHOD: method,
        }
        const ran = spawnSync(program, args, { cwd: workshop, env, encoding: 'utf8' })
        if (ran.status !== 0) throw new Error(`${args.join(' ')}: status ${ran.status}\n${ran.stderr}`)
        files.push(file)
      }
    }
  } catch (error) {
    rmSync(workshop, { recursive: true, force: true })
    throw error
  }
  return { files, [Symbol.dispose]: () => rmSync(workshop, { recursive: true, force: true }) }
}
